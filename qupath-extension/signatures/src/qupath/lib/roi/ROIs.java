package qupath.lib.roi;

import qupath.lib.regions.ImagePlane;
import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public class ROIs {
    public static ROI createPolygonROI(double[] a, double[] b, ImagePlane c) throws IllegalArgumentException {
        throw new UnsupportedOperationException();
    }
    public static ROI createRectangleROI(double a, double b, double c, double d, ImagePlane e) {
        throw new UnsupportedOperationException();
    }

    protected ROIs() {}
}
