package qupath.lib.io;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import qupath.lib.objects.PathObject;

/** Signatures only: what the extension calls. */
public class PathIO {
    public static void exportObjectsAsGeoJSON(Path a, Collection<? extends PathObject> b, PathIO.GeoJsonExportOptions... c) throws IOException {
        throw new UnsupportedOperationException();
    }

    protected PathIO() {}

    public enum GeoJsonExportOptions {
        FEATURE_COLLECTION;
    }
}
