package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.client.Opened
import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.Rectangle
import java.awt.geom.Path2D
import java.awt.geom.Rectangle2D
import java.awt.image.BufferedImage
import java.util.concurrent.CopyOnWriteArrayList
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/** Shows nuclei while a run goes on, and the tiles that failed. They become objects only at its end. */
@CompileStatic
final class RunOverlay implements PathOverlay {

    private static final Color OUTLINE = new Color(255, 220, 0)
    private static final Color FAILED = new Color(220, 0, 0, 90)
    /** From here on an outline is smaller than a few screen pixels: a dot shows as much and is drawn much faster. */
    private static final double DOTS_FROM = 8.0d

    private final List<Batch> batches = new CopyOnWriteArrayList<>()
    private final List<Rectangle2D> failed = new CopyOnWriteArrayList<>()
    private final ImageData<BufferedImage> imageData

    @CompileStatic
    private static final class Batch {
        Path2D outlines
        Rectangle2D bounds
        double[] centroids
    }

    /** @param imageData the image of the run: a viewer may show another in the meantime */
    RunOverlay(ImageData<BufferedImage> imageData) {
        this.imageData = imageData
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
    }

    /** Marks a tile that failed. */
    void addFailed(Opened.Tile tile) {
        failed.add(new Rectangle2D.Double(tile.core()[0], tile.core()[1], tile.core()[2], tile.core()[3]))
    }

    @Override
    void paintOverlay(Graphics2D g2d, ImageRegion region, double downsample, ImageData<BufferedImage> shown, boolean completely) {
        if (shown != null && !shown.is(imageData))
            return
        Graphics2D g = (Graphics2D) g2d.create()
        Rectangle clip = g.clipBounds
        g.color = FAILED
        failed.each { Rectangle2D tile -> g.fill(tile) }
        g.color = OUTLINE
        g.stroke = new BasicStroke((float) (1.5d * downsample))
        int dot = Math.max(1, (int) (1.5d * downsample))
        for (Batch batch : batches) {
            if (clip != null && !clip.intersects(batch.bounds))
                continue
            if (downsample < DOTS_FROM) {
                g.draw(batch.outlines)
            } else {
                for (int i = 0; i < batch.centroids.length; i += 2)
                    g.fillRect((int) batch.centroids[i], (int) batch.centroids[i + 1], dot, dot)
            }
        }
        g.dispose()
    }
}
