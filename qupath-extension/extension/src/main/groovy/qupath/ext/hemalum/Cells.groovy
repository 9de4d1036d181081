package qupath.ext.hemalum

import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.Polygon
import org.locationtech.jts.geom.Polygonal
import org.locationtech.jts.index.strtree.STRtree
import qupath.lib.objects.CellTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.roi.GeometryTools

/** Cells by expansion of nuclei. */
@CompileStatic
final class Cells {

    /** No cell becomes larger than so many nuclei. */
    private static final double NUCLEUS_SCALE = 4.0d

    private Cells() {}

    /**
     * Grows every nucleus into a cell where there is room; no cell overlaps another, nor what was there before.
     *
     * @param nuclei     of all regions at once
     * @param neighbours nuclei and cells that stay
     * @param expansion  px
     * @return as many objects in the same order, with the ids, metadata and measurements of their nuclei
     */
    static List<PathObject> grow(List<PathObject> nuclei, Collection<PathObject> neighbours, double expansion) {
        if (nuclei.isEmpty())
            return nuclei
        // the cell takes over its nucleus's list of measurements, by which it is known
        Map<Object, PathObject> grown = new IdentityHashMap<>()
        CellTools.detectionsToCells(nuclei + neighbours, expansion, NUCLEUS_SCALE).each { PathObject cell -> grown[cell.measurementList] = cell }
        def before = new STRtree()
        neighbours.findAll { PathObject it -> it.isCell() }.each { PathObject it -> before.insert(it.ROI.geometry.envelopeInternal, it) }
        nuclei.collect { PathObject nucleus ->
            PathObject cell = grown[nucleus.measurementList]
            // a nucleus that cannot grow stays what it is: none is lost
            cell == null ? nucleus : named(before.isEmpty() ? cell : beside(cell, before.query(cell.ROI.geometry.envelopeInternal)), nucleus)
        }
    }

    private static PathObject named(PathObject cell, PathObject nucleus) {
        cell.setID(nucleus.ID)
        cell.metadata.putAll(nucleus.metadata)
        cell
    }

    /** The cell without what earlier cells cover; its nucleus stays whole. */
    private static PathObject beside(PathObject cell, List<?> earlier) {
        Geometry own = cell.ROI.geometry, nucleus = QuPathView.outline(cell).geometry, left = own
        earlier.each { Object other ->
            Geometry theirs = ((PathObject) other).ROI.geometry
            if (theirs.intersects(left))
                left = left.difference(theirs)
        }
        if (left.is(own))
            return cell
        Geometry kept = largest(left.union(nucleus))
        PathObjects.createCellObject(GeometryTools.geometryToROI(kept, cell.ROI.imagePlane), QuPathView.outline(cell), cell.pathClass, cell.measurementList)
    }

    private static Geometry largest(Geometry geometry) {
        if (geometry instanceof Polygon)
            return geometry
        List<Geometry> parts = (0..<geometry.numGeometries).collect { int i -> geometry.getGeometryN(i) }.findAll { Geometry it -> it instanceof Polygonal }
        parts.max { Geometry it -> it.area }
    }
}
