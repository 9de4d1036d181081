package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.api.Test;

class BoxSumsTest {

    @Test
    void piecesGiveWhatTheWholeGives() {
        int width = 101, height = 67, side = 16;
        int[] whole = new Random(2).ints(width * height).toArray();
        for (int n : new int[] {1, 2, 5, 16, 70}) {
            BoxSums sums = new BoxSums(width, height, n);
            for (int y = 0; y < height; y += side) {
                for (int x = 0; x < width; x += side) {
                    int w = Math.min(side, width - x), h = Math.min(side, height - y);
                    int[] piece = new int[w * h];
                    for (int row = 0; row < h; row++)
                        System.arraycopy(whole, (y + row) * width + x, piece, row * w, w);
                    sums.add(piece, x, y, w, h);
                }
            }
            assertArrayEquals(BoxMean.of(whole, width, height, n), sums.mean().rgb(), "n = " + n);
        }
    }

    @Test
    void whatNeverCameIsWhite() {
        TileSource.Pixels pixels = new BoxSums(4, 2, 2).mean();
        assertEquals(2, pixels.width());
        assertArrayEquals(new byte[] {-1, -1, -1, -1, -1, -1}, pixels.rgb());
    }
}
