package hemalum.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Who reads the pixels of a run; called from several threads at once, never from a user interface's. */
public interface TileSource {

    /**
     * Pixels ready to be sent.
     *
     * @param width  px
     * @param height px
     * @param rgb    {@code width · height · 3} bytes, rows from the top
     */
    record Pixels(int width, int height, byte[] rgb) {

        /**
         * What names an image of which this is the overview, wherever it lies: SHA-256 of its level-0 size and its
         * overview, as the server makes it ({@code hemalum.slides.slide.identity_of}).
         */
        public String identity(int fullWidth, int fullHeight) {
            try {
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                digest.update((fullWidth + "x" + fullHeight + ":" + width + "x" + height + ":")
                        .getBytes(StandardCharsets.US_ASCII));
                return HexFormat.of().formatHex(digest.digest(rgb));
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e); // every Java has it
            }
        }
    }

    /**
     * The whole image in one picture.
     *
     * @param maxSide longest side the server takes
     */
    Pixels overview(int maxSide) throws IOException;

    /**
     * A rectangle in level-0 px, divided by the box mean over n × n px ({@link BoxMean}).
     */
    Pixels tile(int x, int y, int width, int height, int n) throws IOException;
}
