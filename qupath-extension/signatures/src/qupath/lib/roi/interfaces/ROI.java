package qupath.lib.roi.interfaces;

import org.locationtech.jts.geom.Geometry;
import qupath.lib.regions.ImagePlane;

/** Signatures only: what the extension calls. */
public interface ROI {
    double getArea();
    double getBoundsHeight();
    double getBoundsWidth();
    double getBoundsX();
    double getBoundsY();
    double getCentroidX();
    double getCentroidY();
    Geometry getGeometry();
    ImagePlane getImagePlane();
    boolean isArea();
    ROI translate(double a, double b);
    ROI updatePlane(ImagePlane a);
}
