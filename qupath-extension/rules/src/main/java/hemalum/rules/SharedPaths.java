package hemalum.rules;

import java.util.ArrayList;
import java.util.List;

/** Where a file of this computer lies for a server that sees the same folders. */
public final class SharedPaths {

    private SharedPaths() {}

    /**
     * The path of a file as the server sees it, or null where it cannot see it.
     *
     * @param folders  that the server reads, as it names them
     * @param mappings {@code here=there}, separated by semicolons: where a folder of this computer lies for the server
     */
    public static String there(String file, List<String> folders, String mappings) {
        String slashed = slashes(file);
        List<String> candidates = new ArrayList<>();
        for (String mapping : (mappings == null ? "" : mappings).split(";")) {
            int at = mapping.indexOf('=');
            if (at < 1)
                continue;
            String here = folder(mapping.substring(0, at)), there = folder(mapping.substring(at + 1));
            if (lies(slashed, here))
                candidates.add(there + slashed.substring(here.length()));
        }
        candidates.add(slashed);
        return candidates.stream().filter(candidate -> folders.stream().anyMatch(folder -> lies(candidate, folder(folder)))).findFirst().orElse(null);
    }

    /** Windows takes no notice of case; its folders begin with a drive or with two slashes. */
    private static boolean lies(String file, String folder) {
        boolean windows = folder.matches("(?:[A-Za-z]:|//).*");
        return file.regionMatches(windows, 0, folder, 0, folder.length());
    }

    private static String slashes(String path) {
        return path.strip().replace('\\', '/');
    }

    private static String folder(String path) {
        String slashed = slashes(path);
        return slashed.endsWith("/") ? slashed : slashed + "/";
    }
}
