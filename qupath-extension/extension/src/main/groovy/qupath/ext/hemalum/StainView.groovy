package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.NucleiClient
import hemalum.client.Normalized
import hemalum.client.ServiceException
import hemalum.client.TileSource
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import javafx.application.Platform
import javafx.beans.property.BooleanProperty
import javafx.beans.property.SimpleBooleanProperty
import javafx.beans.value.ChangeListener
import javafx.embed.swing.SwingFXUtils
import javafx.geometry.Insets
import javafx.scene.control.Button
import javafx.scene.control.CheckBox
import javafx.scene.control.Label
import javafx.scene.control.ScrollPane
import javafx.scene.control.Tab
import javafx.scene.image.ImageView
import javafx.scene.layout.HBox
import javafx.scene.layout.VBox
import javax.imageio.ImageIO
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServers
import qupath.lib.projects.ProjectImageEntry
import qupath.lib.regions.ImagePlane

/** The slide in the reference stain: a tab with both thumbnails, the viewer, and the thumbnail of the project. */
@CompileStatic
final class StainView {

    private static final String KEPT = 'hemalum-original-thumbnail.png'
    private static final double SHOWN = 170.0d

    private final QuPathGUI qupath
    private final Tab tab = new Tab(Strings.get('stain.tab'))
    private final ImageView before = new ImageView(), after = new ImageView()
    private final Label numbers = new Label()
    private final Map<ImageData<BufferedImage>, Known> known = Collections.synchronizedMap(new WeakHashMap<ImageData<BufferedImage>, Known>())
    /** Whether viewers are wanted in the reference stain. */
    final BooleanProperty painting = new SimpleBooleanProperty()
    private StainOverlay overlay
    private QuPathViewer painted

    /** An answer, and what was asked for: another method or reference needs another. */
    @CompileStatic
    private static final class Known {
        Normalized normalized
        String asked
    }

    StainView(QuPathGUI qupath) {
        this.qupath = qupath
        painting.addListener({ observable, old, now -> paint() } as ChangeListener<Boolean>)
        qupath.imageDataProperty().addListener({ observable, old, now -> follow() } as ChangeListener<ImageData<BufferedImage>>)
    }

    /** Shows the tab, with the open image's thumbnails. */
    void show() {
        withNormalized { ImageData<BufferedImage> imageData, Normalized normalized ->
            fill(imageData, normalized)
            if (!isOpen()) {
                qupath.analysisTabPane.tabs.add(tab)
                tab.content = content()
            }
            qupath.analysisTabPane.selectionModel.select(tab)
        }
    }

    private boolean isOpen() {
        qupath.analysisTabPane.tabs.contains(tab)
    }

    /** Another image is shown: the tab and the viewer's stain are its own, never those of the one before. */
    private void follow() {
        unpaint()
        boolean possible = qupath.imageData?.server?.isRGB() == true
        if (painting.get() && possible)
            paint()
        if (!isOpen())
            return
        before.image = null
        after.image = null
        numbers.text = possible ? Strings.get('stain.waiting') : Strings.get(qupath.imageData == null ? 'error.no.image' : 'error.not.rgb')
        if (possible)
            withNormalized { ImageData<BufferedImage> imageData, Normalized normalized -> fill(imageData, normalized) }
    }

    private void unpaint() {
        if (overlay == null)
            return
        painted.resetCustomPixelLayerOverlay()
        overlay = null
        painted.repaintEntireImage()
    }

    /** Paints the viewer in the reference stain, or no longer, as {@link #painting} says. */
    private void paint() {
        unpaint()
        if (!painting.get())
            return
        if (openImage(qupath) == null) {
            painting.set(false)
            return
        }
        withNormalized { ImageData<BufferedImage> imageData, Normalized normalized ->
            if (!painting.get())
                return
            unpaint()
            painted = qupath.viewer
            overlay = new StainOverlay(painted, imageData, normalized.table())
            painted.customPixelLayerOverlay = overlay
            painted.repaintEntireImage()
        }
    }

    /** Makes the normalized picture the project's thumbnail; the original is kept beside the entry's data. */
    void setThumbnail() {
        ProjectImageEntry<BufferedImage> entry = entry()
        if (entry != null)
            withNormalized { ImageData<BufferedImage> imageData, Normalized normalized ->
                Path kept = entry.entryPath.resolve(KEPT)
                BufferedImage now = entry.thumbnail
                if (now != null && !Files.exists(kept)) {
                    Files.createDirectories(kept.parent)
                    ImageIO.write(now, 'png', kept.toFile())
                }
                BufferedImage small = now ?: imageData.server.getDefaultThumbnail(0, 0)
                store(entry, StainOverlay.through(normalized.table().prepare(), small))
            }
    }

    /** Puts the project's original thumbnail back. */
    void resetThumbnail() {
        ProjectImageEntry<BufferedImage> entry = entry()
        if (entry == null)
            return
        Path kept = entry.entryPath.resolve(KEPT)
        if (!Files.exists(kept)) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.no.original'))
            return
        }
        store(entry, ImageIO.read(kept.toFile()))
        Files.delete(kept)
    }

    private void store(ProjectImageEntry<BufferedImage> entry, BufferedImage picture) {
        entry.thumbnail = picture
        qupath.project.syncChanges()
        qupath.refreshProject()
    }

    private ProjectImageEntry<BufferedImage> entry() {
        def found = qupath.imageData == null ? null : qupath.project?.getEntry(qupath.imageData)
        if (found == null)
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.no.project'))
        found
    }

    private VBox content() {
        def toggle = new CheckBox(Strings.get('menu.stain.toggle'))
        toggle.selectedProperty().bindBidirectional(painting)
        def refresh = new Button(Strings.get('stain.refresh'))
        refresh.onAction = { show() }
        def choose = new Button(Strings.get('stain.reference.choose'))
        choose.onAction = {
            def file = FileChoosers.promptForFile(Strings.get('stain.reference.choose'))
            if (file != null)
                refer(file.path)
        }
        def builtIn = new Button(Strings.get('stain.reference.reset'))
        builtIn.onAction = { refer('') }
        def generator = new Button(Strings.get('stain.generator'))
        generator.onAction = { GeneratorView.show(qupath) }
        [before, after].each { ImageView view -> view.fitWidth = view.fitHeight = SHOWN; view.preserveRatio = true }
        numbers.wrapText = true
        // beside each other, so that numbers and buttons are seen without scrolling
        def pictures = new HBox(8.0d, new VBox(4.0d, new Label(Strings.get('stain.before')), before), new VBox(4.0d, new Label(Strings.get('stain.after')), after))
        def box = new VBox(8.0d, numbers, pictures, new HBox(8.0d, toggle, refresh), new HBox(8.0d, choose, builtIn), generator)
        box.padding = new Insets(10)
        new VBox(new ScrollPane(box))
    }

    /** Takes another image's stain as the reference, or the built-in one (empty). */
    private void refer(String path) {
        Preferences.reference.set(path)
        if (painting.get())
            paint()
        show()
    }

    private static TileSource.Pixels reference(int side) {
        String path = Preferences.reference.get()
        if (!path)
            return null
        try {
            def server = ImageServers.buildServer(new File(path).toURI())
            try {
                return new SlideTiles(server, ImagePlane.defaultPlane).overview(side)
            } finally {
                ((AutoCloseable) server).close()
            }
        } catch (Exception e) {
            // one that cannot be read must not keep the tab from showing
            Preferences.reference.set('')
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.reference', path), e)
        }
    }

    /** µm per px of an overview, 0 if not known. */
    private static double micronsPerPixel(ImageData<BufferedImage> imageData, TileSource.Pixels overview) {
        def server = imageData.server
        def calibration = server.pixelCalibration
        calibration.hasPixelSizeMicrons() ? calibration.averagedPixelSizeMicrons * server.width / overview.width() : 0.0d
    }

    private void fill(ImageData<BufferedImage> imageData, Normalized normalized) {
        after.image = SwingFXUtils.toFXImage(picture(normalized.thumbnail()), null)
        before.image = SwingFXUtils.toFXImage(qupath.viewer.RGBThumbnail, null)
        double[] m = normalized.stainMatrix()
        numbers.text = imageData.server.metadata.name + '\n' + (m.length == 6 ? Strings.get('stain.vectors', m[0], m[1], m[2], m[3], m[4], m[5]) : '') + '\n' +
                Strings.get('stain.reference', Preferences.reference.get() ? new File(Preferences.reference.get()).name : Strings.get('stain.reference.built')) + '\n' + normalized.notices().join('\n')
    }

    static BufferedImage picture(TileSource.Pixels pixels) {
        def image = new BufferedImage(pixels.width(), pixels.height(), BufferedImage.TYPE_INT_RGB)
        byte[] rgb = pixels.rgb()
        for (int i = 0, y = 0; y < pixels.height(); y++) {
            for (int x = 0; x < pixels.width(); x++, i += 3)
                image.setRGB(x, y, ((rgb[i] & 0xff) << 16) | ((rgb[i + 1] & 0xff) << 8) | (rgb[i + 2] & 0xff))
        }
        image
    }

    @CompileStatic
    private static interface Use {
        void with(ImageData<BufferedImage> imageData, Normalized normalized)
    }

    /** Calls {@code use} on the user interface's thread, once the image's stain is known; it is asked for once an image. */
    private void withNormalized(Use use) {
        ImageData<BufferedImage> imageData = openImage(qupath)
        if (imageData == null)
            return
        String asked = "${Preferences.stain.get()} ${Preferences.reference.get()}"
        Known had = known[imageData]
        if (had?.asked == asked) {
            use.with(imageData, had.normalized)
            return
        }
        Connections.away('hemalum-stain') { NucleiClient client ->
            int side = client.info().overviewSide() ?: 2048
            def overview = new SlideTiles(imageData.server, ImagePlane.defaultPlane).overview(side)
            Normalized made = client.normalize(overview, micronsPerPixel(imageData, overview), Preferences.stain.get() ?: '', null, reference(side))
            known[imageData] = new Known(normalized: made, asked: asked)
            // the answer may come when another image is shown
            Platform.runLater { if (imageData.is(qupath.imageData)) use.with(imageData, made) }
        }
    }

    /** The open image if it is RGB, else null, after saying so. */
    static ImageData<BufferedImage> openImage(QuPathGUI qupath) {
        ImageData<BufferedImage> imageData = qupath.imageData
        if (imageData != null && imageData.server.isRGB())
            return imageData
        Dialogs.showErrorMessage(Strings.get('title'), Strings.get(imageData == null ? 'error.no.image' : 'error.not.rgb'))
        null
    }
}
