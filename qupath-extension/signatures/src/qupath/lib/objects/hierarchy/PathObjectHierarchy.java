package qupath.lib.objects.hierarchy;

import java.util.Collection;
import qupath.lib.objects.PathObject;
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener;
import qupath.lib.objects.hierarchy.events.PathObjectSelectionModel;

/** Signatures only: what the extension calls. */
public class PathObjectHierarchy {
    public void addListener(PathObjectHierarchyListener a) {
        throw new UnsupportedOperationException();
    }
    public void removeListener(PathObjectHierarchyListener a) {
        throw new UnsupportedOperationException();
    }
    public void fireHierarchyChangedEvent(Object a, PathObject b) {
        throw new UnsupportedOperationException();
    }
    public Collection<PathObject> getAnnotationObjects() {
        throw new UnsupportedOperationException();
    }
    public Collection<PathObject> getDetectionObjects() {
        throw new UnsupportedOperationException();
    }
    public PathObject getRootObject() {
        throw new UnsupportedOperationException();
    }
    public PathObjectSelectionModel getSelectionModel() {
        throw new UnsupportedOperationException();
    }
    public TMAGrid getTMAGrid() {
        throw new UnsupportedOperationException();
    }

    protected PathObjectHierarchy() {}
}
