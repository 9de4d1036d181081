package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Random;
import org.junit.jupiter.api.Test;

class ColourTableTest {

    private static ColourTable linear(int size, boolean swapped) {
        byte[] rgb = new byte[3 * size * size * size];
        int at = 0;
        for (int r = 0; r < size; r++)
            for (int g = 0; g < size; g++)
                for (int b = 0; b < size; b++) {
                    rgb[at++] = (byte) Math.round((swapped ? b : r) * 255.0 / (size - 1));
                    rgb[at++] = (byte) Math.round(g * 255.0 / (size - 1));
                    rgb[at++] = (byte) Math.round((swapped ? r : b) * 255.0 / (size - 1));
                }
        return new ColourTable(size, rgb, "test");
    }

    @Test
    void identityChangesNoColour() {
        int[] pixels = new Random(1).ints(10_000).toArray();
        int[] before = pixels.clone();
        linear(256, false).apply(pixels);
        assertArrayEquals(before, pixels);
        // 6 points: every point is a whole colour, 51 apart
        linear(6, false).apply(pixels);
        assertArrayEquals(before, pixels);
    }

    @Test
    void axesAreNotMixedUp() {
        int[] pixels = {0x80123456, 0xffffffff, 0};
        linear(52, true).apply(pixels);
        assertArrayEquals(new int[] {0x80563412, 0xffffffff, 0}, pixels);
    }

    @Test
    void goesFromTheDarkCornerToTheBrightOne() {
        byte[] rgb = new byte[24];
        rgb[21] = rgb[22] = rgb[23] = (byte) 255; // only white is white: the smallest channel decides
        int[] pixels = {0x8090ff};
        new ColourTable(2, rgb, "test").apply(pixels);
        assertEquals(0x808080, pixels[0]);
    }

    @Test
    void refusesAPartOfATable() {
        assertThrows(IllegalArgumentException.class, () -> new ColourTable(33, new byte[12], "test"));
    }
}
