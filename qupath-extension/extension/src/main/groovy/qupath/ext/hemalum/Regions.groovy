package qupath.ext.hemalum

import groovy.transform.CompileStatic
import org.locationtech.jts.algorithm.locate.IndexedPointInAreaLocator
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Envelope
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.LineString
import org.locationtech.jts.geom.Location
import org.locationtech.jts.geom.Polygon
import qupath.lib.objects.PathObject

/** The regions that a user chose: as the service wants them, and which of them a nucleus belongs to. */
@CompileStatic
final class Regions {

    private final List<PathObject> parents
    private final List<Envelope> boxes = []
    private final List<IndexedPointInAreaLocator> locators = []

    /**
     * @param parents objects with an area; may overlap and lie inside each other
     */
    Regions(Collection<? extends PathObject> parents) {
        // the deepest first, and of equally deep ones the smallest: the first that contains a nucleus owns it
        this.parents = new ArrayList<PathObject>(parents)
        this.parents.sort { PathObject a, PathObject b ->
            a.level != b.level ? Integer.compare(b.level, a.level) : Double.compare(a.ROI.getArea(), b.ROI.getArea())
        }
        for (PathObject parent : this.parents) {
            Geometry geometry = parent.ROI.geometry
            boxes.add(geometry.envelopeInternal)
            locators.add(new IndexedPointInAreaLocator(geometry))
        }
    }

    /** The object that a nucleus at this point belongs to, or null. */
    PathObject ownerOf(double x, double y) {
        for (int i = 0; i < parents.size(); i++) {
            if (boxes[i].contains(x, y) && locators[i].locate(new Coordinate(x, y)) != Location.EXTERIOR)
                return parents[i]
        }
        null
    }

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
