package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.ColourTable
import java.awt.Graphics2D
import java.awt.Shape
import java.awt.image.BufferedImage
import java.awt.image.DataBufferInt
import qupath.lib.gui.images.stores.AbstractImageRenderer
import qupath.lib.gui.images.stores.DefaultImageRegionStore
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/** Paints the viewer's own tiles through a colour table: follows pan and zoom, reads nothing that the viewer does not read. */
@CompileStatic
final class StainOverlay implements PathOverlay {

    private final QuPathViewer viewer
    private final ImageData<BufferedImage> imageData
    private final BufferedImage thumbnail
    private final Renderer renderer

    /** To be made on the user interface's thread. */
    StainOverlay(QuPathViewer viewer, ImageData<BufferedImage> imageData, ColourTable table) {
        this.viewer = viewer
        this.imageData = imageData
        thumbnail = viewer.RGBThumbnail
        renderer = new Renderer(table)
    }

    @Override
    void paintOverlay(Graphics2D g2d, ImageRegion region, double downsample, ImageData<BufferedImage> shown, boolean completely) {
        if (shown == null || !shown.is(imageData))
            return
        Shape clip = g2d.clip ?: viewer.displayedRegionShape
        DefaultImageRegionStore store = viewer.imageRegionStore
        store.paintRegion(shown.server, g2d, clip, viewer.ZPosition, viewer.TPosition, downsample, thumbnail, null, renderer)
    }

    /** A picture in the reference stain; the given one stays as it is. */
    static BufferedImage through(ColourTable.Applied table, BufferedImage image) {
        int width = image.width, height = image.height
        int[] pixels = image.getRGB(0, 0, width, height, null, 0, width)
        table.apply(pixels)
        def out = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB)
        System.arraycopy(pixels, 0, ((DataBufferInt) out.raster.dataBuffer).data, 0, pixels.length)
        out
    }

    @CompileStatic
    private static final class Renderer extends AbstractImageRenderer {
        private final ColourTable.Applied table
        private final long made = System.currentTimeMillis()
        // the viewer repaints the same tiles many times; a tile that it lets go is let go here too
        private final Map<BufferedImage, BufferedImage> done = Collections.synchronizedMap(new WeakHashMap<BufferedImage, BufferedImage>())

        Renderer(ColourTable table) {
            this.table = table.prepare()
        }

        @Override
        BufferedImage applyTransforms(BufferedImage image, BufferedImage output) {
            BufferedImage known = done[image]
            if (known == null) {
                known = through(table, image)
                done[image] = known
            }
            known
        }

        @Override
        long getLastChangeTimestamp() {
            made
        }
    }
}
