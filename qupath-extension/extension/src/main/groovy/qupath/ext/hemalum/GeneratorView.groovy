package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.NucleiClient
import hemalum.client.ServiceException
import hemalum.client.ServerInfo.ModelInfo
import hemalum.client.TileSource
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.embed.swing.SwingFXUtils
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Label
import javafx.scene.image.ImageView
import javafx.scene.layout.HBox
import javafx.scene.layout.VBox
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.roi.interfaces.ROI

/** What the viewer shows, beside the same field as the generator of a model translates it: a window to look at. */
@CompileStatic
final class GeneratorView {

    private static final int SIDE = 1024       // px of the model: more costs a CPU many seconds
    private static final double SHOWN = 480.0d

    private GeneratorView() {}

    /** Asks the server, away from the user interface's thread, and opens the window. */
    static void show(QuPathGUI qupath) {
        ImageData<BufferedImage> imageData = StainView.openImage(qupath)
        if (imageData == null)
            return
        List<PathObject> seen = Where.VIEW.parents(imageData, qupath.viewer)
        String missing = seen.empty ? 'error.no.view' : imageData.server.pixelCalibration.hasPixelSizeMicrons() ? null : 'error.no.pixel.size'
        if (missing != null) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get(missing))
            return
        }
        Connections.away('hemalum-generator') { NucleiClient client ->
            ModelInfo model = chosen(client.info().models())
            TileSource.Pixels field = read(imageData, seen.first().ROI, model.mpp())
            TileSource.Pixels translated = client.translate(field, model.id())
            Platform.runLater { open(qupath, model, field, translated) }
        }
    }

    /** The model of the dialog if it has a generator, else the first that has one. */
    private static ModelInfo chosen(List<ModelInfo> models) {
        def able = models.findAll { ModelInfo it -> it.generator() }
        if (able.empty)
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.no.generator'), null)
        able.find { ModelInfo it -> it.id() == Preferences.model.get() } ?: able.first()
    }

    /** The field around its centre, of {@link #SIDE} px at most, at the whole level-0 factor next to the model's scale. */
    private static TileSource.Pixels read(ImageData<BufferedImage> imageData, ROI roi, double mpp) throws IOException {
        int n = Math.max(1, (int) Math.round(mpp / imageData.server.pixelCalibration.averagedPixelSizeMicrons))
        int width = (int) Math.min(roi.boundsWidth, SIDE * n), height = (int) Math.min(roi.boundsHeight, SIDE * n)
        int x = (int) (roi.boundsX + (roi.boundsWidth - width) / 2), y = (int) (roi.boundsY + (roi.boundsHeight - height) / 2)
        new SlideTiles(imageData.server, roi.imagePlane).tile(x, y, width, height, n)
    }

    private static void open(QuPathGUI qupath, ModelInfo model, TileSource.Pixels field, TileSource.Pixels translated) {
        def pictures = new HBox(8.0d)
        ['stain.before': field, 'stain.after': translated].each { String name, TileSource.Pixels pixels ->
            def view = new ImageView(SwingFXUtils.toFXImage(StainView.picture(pixels), null))
            view.fitWidth = SHOWN
            view.preserveRatio = true
            pictures.children.add(new VBox(4.0d, new Label(Strings.get(name)), view))
        }
        def said = new Label(Strings.get('stain.generator.shown', model.id()))
        said.wrapText = true
        said.maxWidth = 2 * SHOWN
        def content = new VBox(8.0d, said, pictures)
        content.padding = new Insets(12)
        def stage = new Stage()
        stage.title = Strings.get('stain.generator')
        stage.scene = new Scene(content)
        stage.initOwner(qupath.stage)
        stage.show()
    }
}
