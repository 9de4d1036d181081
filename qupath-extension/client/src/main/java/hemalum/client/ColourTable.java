package hemalum.client;

/**
 * A 3-D colour table that shows an image in the reference stain, trilinear between its points.
 *
 * @param size  points on an axis
 * @param rgb   entry (r, g, b) at {@code 3 · (r + size · (g + size · b))}; axis points 0…size−1 stand for 0…255
 * @param stain the method it was made by
 */
public record ColourTable(int size, byte[] rgb, String stain) {

    /** Checks that the table is whole. */
    public ColourTable {
        if (size < 2 || rgb.length != 3 * size * size * size)
            throw new IllegalArgumentException(rgb.length + " bytes are not a colour table of " + size + " points.");
    }

    /**
     * Replaces packed {@code 0xAARRGGBB} pixels by their colours in the reference stain; alpha stays.
     *
     * @param pixels changed in place
     */
    public void apply(int[] pixels) {
        int[] base = new int[256];
        int[] fraction = new int[256];
        for (int v = 0; v < 256; v++) {
            // in 1/255 of a step: exact, so that equal colours stay equal whoever applies the table
            int scaled = v * (size - 1);
            base[v] = Math.min(scaled / 255, size - 2);
            fraction[v] = scaled - 255 * base[v];
        }
        int lastIn = 0, lastOut = 0;
        boolean known = false;
        for (int i = 0; i < pixels.length; i++) {
            int in = pixels[i];
            if (!known || in != lastIn) {
                lastIn = in;
                lastOut = in & 0xff000000 | colour(in, base, fraction);
                known = true;
            }
            pixels[i] = lastOut;
        }
    }

    private int colour(int in, int[] base, int[] fraction) {
        int r = in >> 16 & 0xff, g = in >> 8 & 0xff, b = in & 0xff;
        int fr = fraction[r], fg = fraction[g], fb = fraction[b];
        int row = 3 * size, plane = row * size;
        int at = 3 * base[r] + row * base[g] + plane * base[b];
        int packed = 0;
        for (int c = 0; c < 3; c++, at++) {
            long low = mix(mix(at(at), at(at + 3), fr), mix(at(at + row), at(at + row + 3), fr), fg);
            long high = mix(mix(at(at + plane), at(at + plane + 3), fr), mix(at(at + plane + row), at(at + plane + row + 3), fr), fg);
            long value = low * (255 - fb) + high * fb;
            packed = packed << 8 | (int) ((value + 255L * 255 * 255 / 2) / (255L * 255 * 255));
        }
        return packed;
    }

    private long at(int index) {
        return rgb[index] & 0xff;
    }

    private static long mix(long low, long high, int fraction) {
        return low * (255 - fraction) + high * fraction;
    }
}
