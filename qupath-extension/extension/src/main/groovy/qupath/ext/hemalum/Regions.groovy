package qupath.ext.hemalum

import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.LineString
import org.locationtech.jts.geom.Polygon
import qupath.lib.objects.PathObject

/** The regions that a user chose, as the service wants them. */
@CompileStatic
final class Regions {

    private Regions() {}

    /** Polygons as lists of rings, the outside first, each x, y, x, y … */
    static List<List<double[]>> polygons(Collection<? extends PathObject> parents) {
        List<List<double[]>> all = []
        for (PathObject parent : parents)
            all.addAll(polygons(parent.ROI.geometry))
        all
    }

    /** Polygons of one geometry; parts that are not areas are left out. */
    static List<List<double[]>> polygons(Geometry geometry) {
        List<List<double[]>> all = []
        for (int i = 0; i < geometry.numGeometries; i++) {
            Geometry part = geometry.getGeometryN(i)
            if (part instanceof Polygon && !part.isEmpty()) {
                Polygon polygon = (Polygon) part
                List<double[]> rings = [ring(polygon.exteriorRing)]
                for (int k = 0; k < polygon.numInteriorRing; k++)
                    rings.add(ring(polygon.getInteriorRingN(k)))
                all.add(rings)
            }
        }
        all
    }

    private static double[] ring(LineString line) {
        Coordinate[] points = line.coordinates
        double[] xy = new double[2 * (points.length - 1)]   // the last one repeats the first
        for (int i = 0; i < points.length - 1; i++) {
            xy[2 * i] = points[i].x
            xy[2 * i + 1] = points[i].y
        }
        xy
    }
}
