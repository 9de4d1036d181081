package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.BoxMean
import hemalum.client.BoxSums
import hemalum.client.RunControl
import hemalum.client.ServiceException
import hemalum.client.TileSource
import java.awt.image.BufferedImage
import java.awt.image.DataBufferInt
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.TileRequest
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest

/** Reads the pixels of a run through QuPath: stored pixels only, so that they equal those of any other reader. */
@CompileStatic
final class SlideTiles implements TileSource {

    private static final int READERS = 3
    private final ImageServer<BufferedImage> server
    private final ImagePlane plane
    private final RunControl control
    private TileSource.Pixels overview
    private int side

    /**
     * @param server  an RGB image
     * @param control ends the reading of the overview where it is cancelled, or null
     */
    SlideTiles(ImageServer<BufferedImage> server, ImagePlane plane, RunControl control = null) {
        this.server = server
        this.plane = plane
        this.control = control
    }

    @Override
    synchronized TileSource.Pixels overview(int maxSide) throws IOException {
        // asked for twice where the server was to read the slide itself, and cannot
        if (overview == null || side != maxSide) {
            overview = read(maxSide)
            side = maxSide
        }
        overview
    }

    private TileSource.Pixels read(int maxSide) throws IOException {
        int level = 0
        for (int i = 0; i < server.nResolutions(); i++) {
            def here = server.metadata.getLevel(i)
            if (Math.max(here.width, here.height) > maxSide)
                level = i
        }
        def stored = server.metadata.getLevel(level)
        int n = Math.ceilDiv(Math.max(stored.width, stored.height), maxSide)
        def sums = new BoxSums(stored.width, stored.height, n)
        def pieces = server.tileRequestManager.getTileRequestsForLevel(level).findAll { TileRequest it -> it.z == plane.z && it.t == plane.t }
        // a person waits for it, and of a slide with few levels it is as much as a hundred tiles
        def readers = Executors.newFixedThreadPool(READERS)
        try {
            readers.invokeAll(pieces.collect { TileRequest piece -> ({ add(sums, piece) } as Callable<Void>) }).each { it.get() }
        } catch (ExecutionException e) {
            throw e.cause
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt()
            throw new IOException(Strings.get('error.interrupted'), e)
        } finally {
            readers.shutdownNow()
        }
        sums.mean()
    }

    private void add(BoxSums sums, TileRequest piece) {
        if (control?.isCancelled())
            throw new ServiceException(ServiceException.Kind.CANCELLED, Strings.get('cancelled'), null)
        // a stored tile as it is: asking for the whole level at once may interpolate
        BufferedImage image = server.readRegion(piece.regionRequest)
        if (image == null)
            return
        int[] pixels = rgb(image)
        synchronized (sums) {
            sums.add(pixels, piece.tileX, piece.tileY, image.width, image.height)
        }
    }

    @Override
    TileSource.Pixels tile(int x, int y, int width, int height, int n) throws IOException {
        // of level 0, with this server's own path: QuPath up to 0.7 returns wrong pixels for another's
        BufferedImage image = server.readRegion(RegionRequest.createInstance(server.path, 1.0d, x, y, width, height, plane))
        if (image == null)
            throw new IOException(Strings.get('error.no.pixels', x, y))
        if (image.width != width || image.height != height)
            throw new IOException(Strings.get('error.wrong.size', image.width, image.height, width, height))
        new TileSource.Pixels(Math.ceilDiv(width, n), Math.ceilDiv(height, n), BoxMean.of(rgb(image), width, height, n))
    }

    /** Pixels as 0xRRGGBB with anything above; to be read only, since they may be the image's own. */
    private static int[] rgb(BufferedImage image) {
        def buffer = image.raster.dataBuffer
        if ((image.type == BufferedImage.TYPE_INT_RGB || image.type == BufferedImage.TYPE_INT_ARGB) && buffer instanceof DataBufferInt) {
            int[] own = ((DataBufferInt) buffer).data
            if (image.raster.parent == null && own.length == image.width * image.height)
                return own
        }
        image.getRGB(0, 0, image.width, image.height, null, 0, image.width)
    }
}
