package hemalum.client;

import java.io.IOException;

/** Who reads the pixels of a run; called from several threads at once, never from a user interface's. */
public interface TileSource {

    /**
     * Pixels ready to be sent.
     *
     * @param width  px
     * @param height px
     * @param rgb    {@code width · height · 3} bytes, rows from the top
     */
    record Pixels(int width, int height, byte[] rgb) {}

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
