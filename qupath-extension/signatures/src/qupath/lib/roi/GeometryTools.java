package qupath.lib.roi;

import org.locationtech.jts.geom.Geometry;
import qupath.lib.regions.ImagePlane;
import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public class GeometryTools {
    public static ROI geometryToROI(Geometry a, ImagePlane b) {
        throw new UnsupportedOperationException();
    }

    protected GeometryTools() {}
}
