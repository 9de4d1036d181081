package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.rules.SharedPaths
import java.awt.image.BufferedImage
import java.nio.file.Path
import qupath.lib.images.servers.ImageServer

/** Finds the file of an image in the folders that a server reads itself, so that no pixel need travel. */
@CompileStatic
final class SharedSlide {

    private SharedSlide() {}

    /**
     * The path of an image's file as the server sees it, or null where it cannot see it.
     *
     * @param folders  that the server reads, as it names them
     * @param mappings {@code here=there}, separated by semicolons: where a folder of this computer lies for the server
     */
    static String path(ImageServer<BufferedImage> server, List<String> folders, String mappings) {
        Collection<URI> addresses = server.getURIs()
        if (addresses.size() != 1 || addresses.first().scheme != 'file')
            return null
        SharedPaths.there(Path.of(addresses.first()).toString(), folders, mappings)
    }
}
