package hemalum.client;

/**
 * A 3-D colour table that shows an image in the reference stain.
 * <p>
 * It is applied as the server does ({@code hemalum.stain.apply_table}), to the bit: between its points by the
 * tetrahedron that a colour lies in, with fractions in 1/4096.
 *
 * @param size  points on an axis
 * @param rgb   entry (r, g, b) at {@code 3 · (b + size · (g + size · r))}; axis points 0…size−1 stand for 0…255
 * @param stain the method it was made by
 */
public record ColourTable(int size, byte[] rgb, String stain) {

    private static final int BITS = 12;
    private static final long WHOLE = 1 << BITS, CHANNELS = 1 | 1L << 21 | 1L << 42;

    /** Checks that the table is whole. */
    public ColourTable {
        if (size < 2 || rgb.length != 3 * size * size * size)
            throw new IllegalArgumentException(rgb.length + " bytes are not a colour table of " + size + " points.");
    }

    /** A table made ready for use; keep it where many images go through the same one. */
    public Applied prepare() {
        return new Applied(this);
    }

    /** See {@link Applied#apply}. */
    public void apply(int[] pixels) {
        prepare().apply(pixels);
    }

    /** Ready for use, from any number of threads. */
    public static final class Applied {
        /** The three channels of an entry side by side, so that one multiplication weighs them all. */
        private final long[] packed;
        private final int size;
        private final int[] cell = new int[256];
        private final long[] part = new long[256];

        private Applied(ColourTable table) {
            size = table.size;
            packed = new long[size * size * size];
            for (int i = 0; i < packed.length; i++)
                packed[i] = table.rgb[3 * i] & 0xff | (table.rgb[3 * i + 1] & 0xffL) << 21
                        | (table.rgb[3 * i + 2] & 0xffL) << 42;
            for (int v = 0; v < 256; v++) {
                double position = v * (size - 1) / 255.0;
                cell[v] = Math.min((int) Math.floor(position + 1e-9), size - 2);
                part[v] = (long) Math.rint((position - cell[v]) * WHOLE);
            }
        }

        /**
         * Replaces packed {@code 0xAARRGGBB} pixels by their colours in the reference stain; alpha stays.
         *
         * @param pixels changed in place
         */
        public void apply(int[] pixels) {
            if (pixels.length == 0)
                return;
            int in = pixels[0], out = in & 0xff000000 | colour(in);
            for (int i = 0; i < pixels.length; i++) {
                // glass and other even areas repeat one colour
                if (pixels[i] != in) {
                    in = pixels[i];
                    out = in & 0xff000000 | colour(in);
                }
                pixels[i] = out;
            }
        }

        private int colour(int rgb) {
            int r = rgb >> 16 & 0xff, g = rgb >> 8 & 0xff, b = rgb & 0xff;
            int dr = size * size, dg = size, db = 1;
            int origin = cell[r] * dr + cell[g] * dg + cell[b];
            long fr = part[r], fg = part[g], fb = part[b], f1, f2, f3;
            int d1, d2;
            // from the cell's dark corner to its bright one along the axes in falling order of their fractions
            if (fr >= fg) {
                if (fg >= fb) {
                    f1 = fr; f2 = fg; f3 = fb; d1 = dr; d2 = dg;
                } else if (fr >= fb) {
                    f1 = fr; f2 = fb; f3 = fg; d1 = dr; d2 = db;
                } else {
                    f1 = fb; f2 = fr; f3 = fg; d1 = db; d2 = dr;
                }
            } else if (fr >= fb) {
                f1 = fg; f2 = fr; f3 = fb; d1 = dg; d2 = dr;
            } else if (fg >= fb) {
                f1 = fg; f2 = fb; f3 = fr; d1 = dg; d2 = db;
            } else {
                f1 = fb; f2 = fg; f3 = fr; d1 = db; d2 = dg;
            }
            long value = (WHOLE >> 1) * CHANNELS + (WHOLE - f1) * packed[origin] + (f1 - f2) * packed[origin + d1]
                    + (f2 - f3) * packed[origin + d1 + d2] + f3 * packed[origin + dr + dg + db];
            return (int) (value >> BITS & 255) << 16 | (int) (value >> 21 + BITS & 255) << 8
                    | (int) (value >> 42 + BITS & 255);
        }
    }
}
