package hemalum.client;

/**
 * The mean of every n × n block of stored pixels, halves rounded up: {@code (2·sum + m) / (2·m)} with m the number of
 * pixels that exist in the block.
 * <p>
 * The server divides the same way ({@code hemalum.grid.resample.box_mean}), and both sides are held to
 * {@code tests/data/box_mean.json}: a tile read here and one read there are equal to the bit whenever their stored
 * pixels are.
 */
public final class BoxMean {

    /** Sides of a block up to which means are looked up. */
    private static final int LARGEST_LOOKED_UP = 8;

    private BoxMean() {}

    /**
     * Divides packed {@code 0xRRGGBB} pixels.
     *
     * @param pixels rows of {@code width} pixels; anything above the lower 24 bits is ignored
     * @param width  pixels in a row
     * @param height rows
     * @param n      side of a block, 1…2048; blocks start at the array's corner, so a reader must deliver whole blocks
     *               except at the image's own right and lower edge
     * @return RGB bytes, ⌈height/n⌉ rows of ⌈width/n⌉ pixels
     */
    public static byte[] of(int[] pixels, int width, int height, int n) {
        if (n < 1 || n > 2048)
            throw new IllegalArgumentException("A box of " + n + " px is not possible; 1 to 2048 are.");
        if (width < 1 || height < 1 || pixels.length < (long) width * height)
            throw new IllegalArgumentException(pixels.length + " pixels are not " + width + " × " + height + ".");
        int columns = (width + n - 1) / n, rows = (height + n - 1) / n;
        byte[] out = new byte[Math.multiplyExact(3, Math.multiplyExact(rows, columns))];
        int at = 0;
        if (n == 1) {
            for (int i = 0; i < width * height; i++) {
                out[at++] = (byte) (pixels[i] >> 16);
                out[at++] = (byte) (pixels[i] >> 8);
                out[at++] = (byte) pixels[i];
            }
            return out;
        }
        byte[] means = n <= LARGEST_LOOKED_UP ? means(n * n) : null;
        int[] sums = new int[3 * columns];
        for (int row = 0; row < rows; row++) {
            int top = row * n, bottom = Math.min(height, top + n);
            java.util.Arrays.fill(sums, 0);
            for (int y = top; y < bottom; y++)
                addRow(pixels, y * width, width, n, sums);
            for (int column = 0; column < columns; column++) {
                int count = (bottom - top) * (Math.min(width, (column + 1) * n) - column * n);
                boolean whole = means != null && count == n * n;
                for (int i = 3 * column; i < 3 * column + 3; i++)
                    out[at++] = whole ? means[sums[i]] : mean(sums[i], count);
            }
        }
        return out;
    }

    /** 2 · 2048² · 255 + 2048² stays below 2³¹. */
    private static byte mean(int sum, int count) {
        return (byte) ((2 * sum + count) / (2 * count));
    }

    /** The mean for every sum of so many values: three million divisions a tile would cost as much as reading it. */
    private static byte[] means(int count) {
        byte[] means = new byte[255 * count + 1];
        for (int sum = 0; sum < means.length; sum++)
            means[sum] = mean(sum, count);
        return means;
    }

    private static void addRow(int[] pixels, int start, int width, int n, int[] sums) {
        for (int column = 0, x = 0; x < width; column += 3) {
            int red = 0, green = 0, blue = 0;
            for (int end = Math.min(width, x + n); x < end; x++) {
                int rgb = pixels[start + x];
                red += rgb >> 16 & 0xff;
                green += rgb >> 8 & 0xff;
                blue += rgb & 0xff;
            }
            sums[column] += red;
            sums[column + 1] += green;
            sums[column + 2] += blue;
        }
    }
}
