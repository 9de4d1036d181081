package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class IdentityTest {

    /** The examples of {@code hemalum.slides.slide.identity_of}. */
    @Test
    void equalsPython() {
        assertEquals("313e5642", new TileSource.Pixels(1, 1, new byte[3]).identity(1, 1).substring(0, 8));
        byte[] rgb = new byte[18];
        for (int i = 0; i < 18; i++)
            rgb[i] = (byte) (15 * i);
        assertEquals("38eb2a4f26e908d9ca286779a8e30df457ad178ff86e0607c8119915556f18a5",
                new TileSource.Pixels(3, 2, rgb).identity(300, 200));
    }
}
