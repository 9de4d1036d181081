package hemalum.client;

import java.util.concurrent.atomic.AtomicInteger;

/** A slide of dark discs on a light ground, computed where it is asked for. */
final class Blobs implements TileSource {

    static final int STEP = 60, RADIUS = 12;

    private static final java.util.Map<String, Pixels> OVERVIEWS = new java.util.concurrent.ConcurrentHashMap<>();

    final int width, height;
    final AtomicInteger under = new AtomicInteger(), most = new AtomicInteger(), read = new AtomicInteger();
    volatile int delayMs;
    volatile int brokenAt = -1;
    /** Not 0: pairs of discs that touch, their centres so many px apart. */
    volatile int apart;

    Blobs(int width, int height) {
        this.width = width;
        this.height = height;
    }

    SegmentSpec.Image image() {
        return new SegmentSpec.Image(width, height, 0.25, "test", "blobs", 0, 0);
    }

    private int colour(int x, int y) {
        int dx = Math.abs(x % STEP - STEP / 2) - apart / 2, dy = y % STEP - STEP / 2;
        return dx * dx + dy * dy < RADIUS * RADIUS ? 0x4a2870 : 0xe8c8dc;
    }

    private int[] pixels(int left, int top, int w, int h) {
        int[] out = new int[w * h];
        for (int y = 0, at = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                out[at++] = colour(left + x, top + y);
        return out;
    }

    /** The whole image. */
    java.awt.image.BufferedImage picture() {
        var image = new java.awt.image.BufferedImage(width, height, java.awt.image.BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, width, height, pixels(0, 0, width, height), 0, width);
        return image;
    }

    @Override
    public Pixels overview(int maxSide) {
        // the same for every test, and slow to compute for a large slide
        return OVERVIEWS.computeIfAbsent(width + " × " + height + " in " + maxSide + ", " + apart,
                key -> compute(maxSide));
    }

    private Pixels compute(int maxSide) {
        int n = Math.ceilDiv(Math.max(width, height), maxSide);
        return new Pixels(Math.ceilDiv(width, n), Math.ceilDiv(height, n),
                BoxMean.of(pixels(0, 0, width, height), width, height, n));
    }

    @Override
    public Pixels tile(int x, int y, int w, int h, int n) throws java.io.IOException {
        most.accumulateAndGet(under.incrementAndGet(), Math::max);
        try {
            if (read.getAndIncrement() == brokenAt)
                throw new java.io.IOException("the disk is broken");
            Thread.sleep(delayMs);
            return new Pixels(Math.ceilDiv(w, n), Math.ceilDiv(h, n), BoxMean.of(pixels(x, y, w, h), w, h, n));
        } catch (InterruptedException e) {
            throw new java.io.InterruptedIOException("interrupted");
        } finally {
            under.decrementAndGet();
        }
    }
}
