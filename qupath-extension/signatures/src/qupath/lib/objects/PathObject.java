package qupath.lib.objects;

import java.util.Collection;
import java.util.Map;
import java.util.UUID;
import qupath.lib.measurements.MeasurementList;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public abstract class PathObject {
    public void addChildObjects(Collection<? extends PathObject> a) {
        throw new UnsupportedOperationException();
    }
    public void clearChildObjects() {
        throw new UnsupportedOperationException();
    }
    public Collection<PathObject> getChildObjects() {
        throw new UnsupportedOperationException();
    }
    public UUID getID() {
        throw new UnsupportedOperationException();
    }
    public MeasurementList getMeasurementList() {
        throw new UnsupportedOperationException();
    }
    public Map<String, String> getMetadata() {
        throw new UnsupportedOperationException();
    }
    public PathObject getParent() {
        throw new UnsupportedOperationException();
    }
    public PathClass getPathClass() {
        throw new UnsupportedOperationException();
    }
    public ROI getROI() {
        throw new UnsupportedOperationException();
    }
    public boolean hasROI() {
        throw new UnsupportedOperationException();
    }
    public boolean isAnnotation() {
        throw new UnsupportedOperationException();
    }
    public boolean isCell() {
        throw new UnsupportedOperationException();
    }
    public boolean isDetection() {
        throw new UnsupportedOperationException();
    }
    public boolean isRootObject() {
        throw new UnsupportedOperationException();
    }
    public boolean isTMACore() {
        throw new UnsupportedOperationException();
    }
    public int nChildObjects() {
        throw new UnsupportedOperationException();
    }
    public void removeChildObjects(Collection<PathObject> a) {
        throw new UnsupportedOperationException();
    }
    public void setID(UUID a) throws IllegalArgumentException {
        throw new UnsupportedOperationException();
    }
    public void setLocked(boolean a) {
        throw new UnsupportedOperationException();
    }
    public void setPathClass(PathClass a) {
        throw new UnsupportedOperationException();
    }

    protected PathObject() {}
    public String getName() {
        throw new UnsupportedOperationException();
    }
}
