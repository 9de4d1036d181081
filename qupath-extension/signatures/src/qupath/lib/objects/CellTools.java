package qupath.lib.objects;

import java.util.Collection;
import java.util.List;

/** Signatures only: what the extension calls. */
public class CellTools {
    public static List<PathObject> detectionsToCells(Collection<? extends PathObject> a, double b, double c) {
        throw new UnsupportedOperationException();
    }

    protected CellTools() {}
}
