package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import java.util.stream.IntStream
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathCellObject
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/** Nuclei as QuPath's objects: made, put in, replaced and restored. */
@CompileStatic
final class Nuclei {

    /** The measurement by which our own objects are known again. */
    static final String PROBABILITY = 'Hemalum: Probability'

    /** Objects that a run replaced, by parent. */
    @CompileStatic
    static final class Replaced {
        final PathObjectHierarchy hierarchy
        final Map<PathObject, List<PathObject>> removed = new LinkedHashMap<>()
        final Map<PathObject, List<PathObject>> added = new LinkedHashMap<>()

        Replaced(PathObjectHierarchy hierarchy) {
            this.hierarchy = hierarchy
        }
    }

    private Nuclei() {}

    /** Whether a detection (or cell) was made by this extension. */
    static boolean ours(PathObject object) {
        object.isDetection() && !Double.isNaN(object.measurementList.get(PROBABILITY))
    }

    /** The outline of a nucleus, also of a cell's. */
    static ROI outline(PathObject object) {
        object instanceof PathCellObject ? ((PathCellObject) object).nucleusROI ?: object.ROI : object.ROI
    }

    /** Detections of these nuclei, in their order. */
    static List<PathObject> detections(FoundNuclei nuclei, ImagePlane plane, PathClass pathClass) {
        PathObject[] made = new PathObject[nuclei.size()]
        List<String> names = nuclei.names()
        IntStream.range(0, made.length).parallel().forEach { int i ->
            ROI outline = ROIs.createPolygonROI(nuclei.xs(i), nuclei.ys(i), plane)
            // computes what QuPath would compute when it first asks, for all of them on the user interface's thread
            outline.boundsX
            PathObject object = PathObjects.createDetectionObject(outline, pathClass)
            object.setID(nuclei.ids()[i])
            MeasurementList list = object.measurementList
            list.put(PROBABILITY, nuclei.probability()[i] as double)
            for (int m = 0; m < names.size(); m++)
                list.put(names[m], nuclei.measurements()[m][i] as double)
            list.close()   // packs the numbers
            made[i] = object
        }
        made.toList()
    }

    /**
     * Puts nuclei under their parents in the place of our earlier ones: no object of anyone else is touched, nothing is doubled, and
     * listeners are told once.
     *
     * @param byParent every parent of the run, also those without a nucleus
     * @param regions  the run's regions, or null for the whole image: our earlier nuclei inside are replaced, whoever their parent
     * @return what was done, for {@link #restore}
     */
    static Replaced insert(PathObjectHierarchy hierarchy, Map<PathObject, List<PathObject>> byParent, Regions regions, Object source) {
        Map<PathObject, List<PathObject>> old = new LinkedHashMap<>()
        byParent.keySet().each { PathObject parent -> old[parent] = [] }
        for (PathObject object : hierarchy.detectionObjects) {
            if (ours(object) && (byParent.containsKey(object.parent) || !Corrections.isComplete(object.parent)) && (regions == null || regions.ownerOf(object.ROI.centroidX, object.ROI.centroidY) != null
                    || (!object.parent.isRootObject() && byParent.containsKey(object.parent))))
                old.computeIfAbsent(object.parent) { [] as List<PathObject> }.add(object)
        }
        def done = new Replaced(hierarchy)
        old.each { PathObject parent, List<PathObject> removed ->
            done.removed[parent] = removed
            done.added[parent] = byParent[parent] ?: ([] as List<PathObject>)
        }
        carryOut(done, source)
        byParent.keySet().findAll { PathObject parent -> !parent.isRootObject() }.each { PathObject parent -> parent.locked = true }
        done
    }

    /** Brings back what {@link #insert} replaced; doing it again brings back the new ones. */
    static Replaced restore(Replaced last, Object source) {
        def back = new Replaced(last.hierarchy)
        back.removed.putAll(last.added)
        back.added.putAll(last.removed)
        carryOut(back, source)
        back
    }

    private static void carryOut(Replaced change, Object source) {
        synchronized (change.hierarchy) {
            change.hierarchy.selectionModel.deselectObjects(change.removed.values().flatten() as List<PathObject>)
            change.removed.each { PathObject parent, List<PathObject> out ->
                // clearing is fast, removing one by one is not
                if (!out.isEmpty() && out.size() == parent.nChildObjects())
                    parent.clearChildObjects()
                else if (!out.isEmpty())
                    parent.removeChildObjects(out)
                if (!change.added[parent].isEmpty())
                    parent.addChildObjects(change.added[parent])
            }
        }
        Set<PathObject> parents = change.removed.keySet()
        change.hierarchy.fireHierarchyChangedEvent(source, parents.size() == 1 ? parents.first() : change.hierarchy.rootObject)
    }
}
