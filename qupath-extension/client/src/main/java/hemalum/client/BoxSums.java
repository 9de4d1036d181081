package hemalum.client;

/**
 * The box mean of an image that arrives in pieces: only the small result is ever in memory, so that an overview can be
 * made of a slide that stores no small level.
 */
public final class BoxSums {

    private final int width, height, n, columns, rows;
    private final long[] sums;

    /**
     * @param width  of the large image, px
     * @param height of the large image
     * @param n      side of a block
     */
    public BoxSums(int width, int height, int n) {
        this.width = width;
        this.height = height;
        this.n = n;
        columns = (width + n - 1) / n;
        rows = (height + n - 1) / n;
        sums = new long[Math.multiplyExact(3, Math.multiplyExact(rows, columns))];
        java.util.Arrays.fill(sums, -1);
    }

    /**
     * Adds a piece; every pixel must come once. Blocks of which nothing came are white, as a scanner's background is.
     *
     * @param pixels packed {@code 0xRRGGBB}
     * @param left   x of the piece in the large image
     * @param top    y of the piece
     * @param w      its width
     * @param h      its height
     */
    public void add(int[] pixels, int left, int top, int w, int h) {
        for (int y = 0; y < h && top + y < height; y++) {
            int row = (top + y) / n * columns;
            for (int x = 0; x < w && left + x < width; x++) {
                int at = 3 * (row + (left + x) / n), rgb = pixels[y * w + x];
                if (sums[at] < 0)
                    sums[at] = sums[at + 1] = sums[at + 2] = 0;
                sums[at] += rgb >> 16 & 0xff;
                sums[at + 1] += rgb >> 8 & 0xff;
                sums[at + 2] += rgb & 0xff;
            }
        }
    }

    /** The small image, as {@link BoxMean} would make it of the whole. */
    public TileSource.Pixels mean() {
        byte[] out = new byte[sums.length];
        for (int row = 0, at = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                long count = (long) (Math.min(height, (row + 1) * n) - row * n)
                        * (Math.min(width, (column + 1) * n) - column * n);
                for (int c = 0; c < 3; c++, at++)
                    out[at] = sums[at] < 0 ? (byte) 255 : (byte) ((2 * sums[at] + count) / (2 * count));
            }
        }
        return new TileSource.Pixels(columns, rows, out);
    }
}
