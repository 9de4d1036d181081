package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The token of a server that the same user has started is found where that server keeps it. */
class OwnTokenTest {

    @Test
    void oneFileAPort(@TempDir Path folder) throws Exception {
        Files.createDirectories(folder.resolve("servers"));
        Files.writeString(folder.resolve("servers").resolve("50051.token"), "secret-secret-secret\n");
        assertEquals("secret-secret-secret", OwnToken.in(folder, 50051));
        assertNull(OwnToken.in(folder, 50052));
    }

    @Test
    void theFolderOfEachSystem() {
        Path home = Path.of("home");
        assertEquals(home.resolve(".config").resolve("hemalum"), OwnToken.folder("Linux", Map.of(), "home"));
        assertEquals(Path.of("x", "hemalum"), OwnToken.folder("Linux", Map.of("XDG_CONFIG_HOME", "x"), "home"));
        assertEquals(Path.of("home", "Library", "Application Support", "hemalum"),
                OwnToken.folder("Mac OS X", Map.of("XDG_CONFIG_HOME", "x"), "home"));
        assertEquals(Path.of("r", "hemalum"), OwnToken.folder("Windows 11", Map.of("APPDATA", "r"), "home"));
        assertEquals(Path.of("home", "AppData", "Roaming", "hemalum"), OwnToken.folder("Windows 11", Map.of(), "home"));
    }
}
