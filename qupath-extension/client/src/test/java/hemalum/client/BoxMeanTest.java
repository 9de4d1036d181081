package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import org.junit.jupiter.api.Test;

class BoxMeanTest {

    private static int[] packed(byte[] rgb) {
        int[] pixels = new int[rgb.length / 3];
        for (int i = 0; i < pixels.length; i++)
            // the alpha that QuPath's images have must not count
            pixels[i] = 0xff000000 | (rgb[3 * i] & 0xff) << 16 | (rgb[3 * i + 1] & 0xff) << 8 | rgb[3 * i + 2] & 0xff;
        return pixels;
    }

    @Test
    void equalsPythonToTheBit() throws Exception {
        Path golden = Path.of(System.getProperty("hemalum.root"), "tests", "data", "box_mean.json");
        int cases = 0;
        try (Reader reader = Files.newBufferedReader(golden)) {
            for (var element : JsonParser.parseReader(reader).getAsJsonObject().getAsJsonArray("cases")) {
                JsonObject one = element.getAsJsonObject();
                byte[] pixels = Base64.getDecoder().decode(one.get("pixels").getAsString());
                byte[] expected = Base64.getDecoder().decode(one.get("boxed").getAsString());
                assertArrayEquals(expected,
                        BoxMean.of(packed(pixels), one.get("width").getAsInt(), one.get("height").getAsInt(),
                        one.get("n").getAsInt()), one.get("width") + "×" + one.get("height") + " by " + one.get("n"));
                cases++;
            }
        }
        assertTrue(cases >= 10);
    }

    @Test
    void largestBoxDoesNotOverflow() {
        int[] white = new int[2048 * 2048];
        java.util.Arrays.fill(white, 0xffffff);
        assertArrayEquals(new byte[] {-1, -1, -1}, BoxMean.of(white, 2048, 2048, 2048));
    }

    @Test
    void refusesWhatMakesNoSense() {
        assertThrows(IllegalArgumentException.class, () -> BoxMean.of(new int[4], 2, 2, 0));
        assertThrows(IllegalArgumentException.class, () -> BoxMean.of(new int[3], 2, 2, 1));
    }
}
