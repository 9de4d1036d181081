package hemalum.client;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/**
 * The token of a server that the same user has started on this computer: such a server keeps it where only its own user
 * can read it, one file a port, new at every start.
 */
final class OwnToken {

    private OwnToken() {}

    /** The token of the user's own server on this port, or null. */
    static String of(int port) {
        return in(folder(System.getProperty("os.name"), System.getenv(), System.getProperty("user.home")), port);
    }

    static String in(Path folder, int port) {
        try {
            String token = Files.readString(folder.resolve("servers").resolve(port + ".token")).strip();
            return token.isEmpty() ? null : token;
        } catch (IOException | SecurityException e) {
            return null;
        }
    }

    /** The folder that {@code hemalum serve} takes on such a system. */
    static Path folder(String system, Map<String, String> environment, String home) {
        String name = system.toLowerCase(Locale.ROOT);
        String roaming = environment.getOrDefault("APPDATA", ""), configuration =
                environment.getOrDefault("XDG_CONFIG_HOME", "");
        Path base;
        if (name.startsWith("windows"))
            base = roaming.isEmpty() ? Path.of(home, "AppData", "Roaming") : Path.of(roaming);
        else if (name.startsWith("mac"))
            base = Path.of(home, "Library", "Application Support");
        else
            base = configuration.isEmpty() ? Path.of(home, ".config") : Path.of(configuration);
        return base.resolve("hemalum");
    }
}
