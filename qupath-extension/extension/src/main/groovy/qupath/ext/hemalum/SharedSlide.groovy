package qupath.ext.hemalum

import groovy.transform.CompileStatic
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
        path(Path.of(addresses.first()).toString(), folders, mappings)
    }

    /** As above, of a file's path. */
    static String path(String file, List<String> folders, String mappings) {
        String slashed = slashes(file)
        List<String> candidates = []
        for (String mapping : (mappings ?: '').tokenize(';')) {
            int at = mapping.indexOf('=')
            if (at < 1)
                continue
            String here = folder(mapping.substring(0, at)), there = folder(mapping.substring(at + 1))
            if (slashed.startsWith(here))
                candidates << there + slashed.substring(here.length())
        }
        candidates << slashed
        candidates.find { String candidate -> folders.any { String folder -> candidate.startsWith(SharedSlide.folder(folder)) } }
    }

    private static String slashes(String path) {
        path.trim().replace('\\', '/')
    }

    private static String folder(String path) {
        String slashed = slashes(path)
        slashed.endsWith('/') ? slashed : slashed + '/'
    }
}
