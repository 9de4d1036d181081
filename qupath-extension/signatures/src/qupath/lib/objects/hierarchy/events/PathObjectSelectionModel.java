package qupath.lib.objects.hierarchy.events;

import java.util.Collection;
import java.util.Set;
import qupath.lib.objects.PathObject;

/** Signatures only: what the extension calls. */
public class PathObjectSelectionModel {
    public void deselectObjects(Collection<? extends PathObject> a) {
        throw new UnsupportedOperationException();
    }
    public PathObject getSelectedObject() {
        throw new UnsupportedOperationException();
    }
    public Set<PathObject> getSelectedObjects() {
        throw new UnsupportedOperationException();
    }

    protected PathObjectSelectionModel() {}
}
