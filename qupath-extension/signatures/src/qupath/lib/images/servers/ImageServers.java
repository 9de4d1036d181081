package qupath.lib.images.servers;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.net.URI;

/** Signatures only: what the extension calls. */
public class ImageServers {
    public static ImageServer<BufferedImage> buildServer(URI a, String... b) throws IOException {
        throw new UnsupportedOperationException();
    }
}
