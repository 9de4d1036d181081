package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.client.Opened
import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.Rectangle
import java.awt.RenderingHints
import java.awt.geom.AffineTransform
import java.awt.geom.Path2D
import java.awt.geom.Rectangle2D
import java.awt.image.BufferedImage
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadFactory
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit
import javafx.application.Platform
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.ImageRegion

/**
 * Shows nuclei while a run goes on, and the tiles that failed. They become objects only at its end.
 * <p>
 * Thousands of outlines take longer to draw than a viewer may wait, so they are drawn beside the user interface into a picture of the
 * view, each batch once, and the viewer only copies that. While a moved view is drawn anew, the picture of the old one is shown, moved.
 */
@CompileStatic
final class RunOverlay implements PathOverlay {

    private static final Color OUTLINE = new Color(255, 220, 0)
    private static final Color FAILED = new Color(220, 0, 0, 90)
    /** From here on an outline is smaller than a few screen pixels: a dot shows as much and is drawn much faster. */
    private static final double DOTS_FROM = 8.0d

    private final List<Batch> batches = new CopyOnWriteArrayList<>()
    private final List<Rectangle2D> failed = new CopyOnWriteArrayList<>()
    private final ImageData<BufferedImage> imageData
    private final ImagePlane plane
    private final Runnable repaint
    private final ThreadPoolExecutor painter = new ThreadPoolExecutor(1, 1, 0L, TimeUnit.SECONDS, new LinkedBlockingQueue<Runnable>(), { Runnable work ->
        def thread = new Thread(work, 'hemalum-overlay')
        thread.daemon = true
        thread
    } as ThreadFactory, new ThreadPoolExecutor.DiscardPolicy())
    private volatile Picture picture
    private volatile View wanted

    @CompileStatic
    private static final class Batch {
        Path2D outlines
        Rectangle2D bounds
        double[] centroids
    }

    /** What a viewer looks at: level-0 px → its own pixels. */
    @CompileStatic
    private static final class View {
        AffineTransform transform
        int width, height
        double downsample

        boolean same(View other) {
            other != null && transform == other.transform && width == other.width && height == other.height
        }
    }

    @CompileStatic
    private static final class Picture {
        View view
        BufferedImage image
        int drawn
    }

    /**
     * @param imageData the image of the run: a viewer may show another in the meantime
     * @param plane     of the run: a viewer may show another
     * @param repaint   called, from any thread, when there is something new to show
     */
    RunOverlay(ImageData<BufferedImage> imageData, ImagePlane plane, Runnable repaint) {
        this.imageData = imageData
        this.plane = plane
        this.repaint = repaint
    }

    /** Adds nuclei; from any thread. */
    void add(FoundNuclei nuclei) {
        if (nuclei.size() == 0)
            return
        def path = new Path2D.Float(Path2D.WIND_NON_ZERO)
        int[] vertices = nuclei.vertices(), offsets = nuclei.offsets()
        double unit = FoundNuclei.UNIT
        for (int i = 0; i < nuclei.size(); i++) {
            for (int k = offsets[i]; k < offsets[i + 1]; k++) {
                if (k == offsets[i])
                    path.moveTo(vertices[2 * k] / unit, vertices[2 * k + 1] / unit)
                else
                    path.lineTo(vertices[2 * k] / unit, vertices[2 * k + 1] / unit)
            }
            path.closePath()
        }
        batches.add(new Batch(outlines: path, bounds: path.bounds2D, centroids: nuclei.centroids()))
        draw()
    }

    /** Marks a tile that failed. */
    void addFailed(Opened.Tile tile) {
        failed.add(new Rectangle2D.Double(tile.core()[0], tile.core()[1], tile.core()[2], tile.core()[3]))
        repaint.run()
    }

    /** Ends its thread. */
    void close() {
        painter.shutdownNow()
    }

    @Override
    void paintOverlay(Graphics2D g2d, ImageRegion region, double downsample, ImageData<BufferedImage> shown, boolean completely) {
        if (shown != null && !shown.is(imageData) || region.z != plane.z || region.t != plane.t)
            return
        Graphics2D g = (Graphics2D) g2d.create()
        try {
            g.color = FAILED
            failed.each { Rectangle2D tile -> g.fill(tile) }
            if (!Platform.isFxApplicationThread()) {
                // an export of what is shown: there is time, and no second painting
                paint(g, batches, downsample)
                return
            }
            AffineTransform transform = g.transform
            g.transform = new AffineTransform()
            Rectangle device = g.clipBounds
            if (device == null)
                return
            View now = new View(transform: transform, width: (int) device.maxX, height: (int) device.maxY, downsample: downsample)
            if (!now.same(wanted)) {
                wanted = now
                draw()
            }
            Picture known = picture
            if (known != null) {
                if (!now.same(known.view)) {
                    transform.concatenate(known.view.transform.createInverse())
                    g.transform = transform
                }
                g.drawImage(known.image, 0, 0, null)
            }
        } finally {
            g.dispose()
        }
    }

    /** Brings the picture up to date, beside the user interface; what is asked for several times is done once. */
    private void draw() {
        painter.execute { update() }
    }

    private void update() {
        View view = wanted
        Picture known = picture
        int count = batches.size()
        if (view == null) {
            // not painted since it was added: that tells the view
            repaint.run()
            return
        }
        if (view.width < 1 || view.height < 1)
            return
        boolean anew = known == null || !view.same(known.view)
        if (!anew && known.drawn == count)
            return
        def image = new BufferedImage(view.width, view.height, BufferedImage.TYPE_INT_ARGB_PRE)
        Graphics2D g = image.createGraphics()
        if (!anew)
            g.drawImage(known.image, 0, 0, null)
        g.clipRect(0, 0, view.width, view.height)
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON)
        g.transform(view.transform)
        paint(g, batches.toList().subList(anew ? 0 : known.drawn, count), view.downsample)
        g.dispose()
        picture = new Picture(view: view, image: image, drawn: count)
        repaint.run()
    }

    private static void paint(Graphics2D g, List<Batch> some, double downsample) {
        Rectangle clip = g.clipBounds
        g.color = OUTLINE
        g.stroke = new BasicStroke((float) (1.5d * downsample))
        int dot = Math.max(1, (int) (1.5d * downsample))
        for (Batch batch : some) {
            if (clip != null && !clip.intersects(batch.bounds))
                continue
            if (downsample < DOTS_FROM) {
                g.draw(batch.outlines)
            } else {
                for (int i = 0; i < batch.centroids.length; i += 2)
                    g.fillRect((int) batch.centroids[i], (int) batch.centroids[i + 1], dot, dot)
            }
        }
    }
}
