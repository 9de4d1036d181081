package qupath.lib.objects;

import qupath.lib.measurements.MeasurementList;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public class PathObjects {
    public static PathObject createAnnotationObject(ROI a) {
        throw new UnsupportedOperationException();
    }
    public static PathObject createAnnotationObject(ROI a, PathClass b, MeasurementList c) {
        throw new UnsupportedOperationException();
    }
    public static PathObject createDetectionObject(ROI a, PathClass b) {
        throw new UnsupportedOperationException();
    }
    public static PathObject createDetectionObject(ROI a, PathClass b, MeasurementList c) {
        throw new UnsupportedOperationException();
    }

    protected PathObjects() {}
    public static PathObject createAnnotationObject(ROI a, PathClass b) {
        throw new UnsupportedOperationException();
    }
    public static PathObject createCellObject(ROI a, ROI b, PathClass c, MeasurementList d) {
        throw new UnsupportedOperationException();
    }
}
