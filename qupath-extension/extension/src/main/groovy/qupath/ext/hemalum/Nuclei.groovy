package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.rules.Found
import hemalum.rules.Marks
import hemalum.rules.Measurements
import hemalum.rules.Replacement
import java.lang.ref.WeakReference
import java.util.concurrent.atomic.AtomicInteger
import java.util.function.Supplier
import java.util.stream.IntStream
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyEvent
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/** Nuclei as QuPath's objects: made, put in, replaced and restored. What may be touched is decided by {@link Replacement}. */
@CompileStatic
final class Nuclei {

    /**
     * What a run replaced, so that it can be brought back. Knows objects of the image by name only: an undo puts others in their place,
     * and a closed image must not be kept.
     */
    @CompileStatic
    static final class Replaced {
        final WeakReference<PathObjectHierarchy> hierarchy
        final ImagePlane plane
        /** What was put in. */
        final Set<Object> added = new HashSet<>()
        final List<PathObject> removed = []
        /** What each of those lay below. */
        final List<Object> parents = []
        /** What there is to say. */
        Replacement<PathObject> decided

        Replaced(PathObjectHierarchy hierarchy, ImagePlane plane) {
            this.hierarchy = new WeakReference<>(hierarchy)
            this.plane = plane
        }
    }

    /** After so many changes by others the hierarchy is held while deciding. */
    private static final int ATTEMPTS = 3

    /** Objects to be put in, by the place of their nuclei. */
    @CompileStatic
    static final class Objects implements Found {
        final List<PathObject> objects

        Objects(List<PathObject> objects) {
            this.objects = objects
        }

        @Override
        int size() {
            objects.size()
        }

        @Override
        Object id(int i) {
            objects[i].ID
        }

        @Override
        double x(int i) {
            QuPathView.IT.x(objects[i])
        }

        @Override
        double y(int i) {
            QuPathView.IT.y(objects[i])
        }
    }

    private Nuclei() {}

    /** Whether a detection (or cell) is ours. */
    static boolean ours(PathObject object) {
        Marks.isOurs(QuPathView.IT, object)
    }

    /**
     * Detections of these nuclei, in their order.
     *
     * @param run       what their metadata say of where they come from
     * @param announced names of the measurements that the server promised; it may send more for its own use
     */
    static List<PathObject> detections(FoundNuclei nuclei, ImagePlane plane, PathClass pathClass, String run, List<String> announced) {
        PathObject[] made = new PathObject[nuclei.size()]
        List<String> names = nuclei.names().collect { String name -> announced.contains(name) ? Measurements.named(name) : null }
        IntStream.range(0, made.length).parallel().forEach { int i ->
            ROI outline = ROIs.createPolygonROI(nuclei.xs(i), nuclei.ys(i), plane)
            // computes what QuPath would compute when it first asks, for all of them on the user interface's thread
            outline.boundsX
            PathObject object = PathObjects.createDetectionObject(outline, pathClass)
            object.setID(onPlane(nuclei.ids()[i], plane))
            object.metadata[Marks.RUN] = run
            MeasurementList list = object.measurementList
            list.put(Measurements.PROBABILITY, nuclei.probability()[i] as double)
            for (int m = 0; m < names.size(); m++) {
                if (names[m] != null)
                    list.put(names[m], nuclei.measurements()[m][i] as double)
            }
            list.close()   // packs the numbers
            made[i] = object
        }
        made.toList()
    }

    /** Names derive from what the image looks like, and two planes may look alike. */
    private static UUID onPlane(UUID id, ImagePlane plane) {
        long place = (plane.z * 1_000_003L + plane.t) & 0xffff_ffff_ffffL
        new UUID(id.mostSignificantBits, id.leastSignificantBits ^ place)
    }

    /** What a run changes in the image as it is now; nothing is done yet. */
    static Replacement<PathObject> decide(PathObjectHierarchy hierarchy, Replacement.Run run, List<PathObject> objects) {
        Replacement.of(QuPathView.IT, hierarchy.rootObject, QuPathView.objects(hierarchy), run, new Objects(objects))
    }

    /**
     * Puts nuclei in the place of our earlier ones; listeners are told once.
     *
     * @return what was done, for {@link #restore}
     */
    static Replaced insert(PathObjectHierarchy hierarchy, Replacement.Run run, List<PathObject> objects, Object source) {
        def done = change(hierarchy, ImagePlane.getPlane(run.z(), run.t()), objects, source) { decide(hierarchy, run, objects) }
        done.decided.regions().each { PathObject region -> region.locked = true }
        done
    }

    /** Brings back what {@link #insert} replaced; doing it again brings back the new ones. Null if the image is closed. */
    static Replaced restore(Replaced last, Object source) {
        PathObjectHierarchy hierarchy = last.hierarchy.get()
        if (hierarchy == null)
            return null
        change(hierarchy, last.plane, last.removed, source) {
            Replacement.back(QuPathView.IT, hierarchy.rootObject, QuPathView.objects(hierarchy), last.plane.z, last.plane.t,
                    last.added, new Objects(last.removed), last.parents)
        }
    }

    /** Deciding takes long where there is much, and must not keep a viewer from painting: it is done beside, again if something changed meanwhile. */
    private static Replaced change(PathObjectHierarchy hierarchy, ImagePlane plane, List<PathObject> objects, Object source,
                                   Supplier<Replacement<PathObject>> decide) {
        def changes = new AtomicInteger()
        def listener = { PathObjectHierarchyEvent event -> changes.incrementAndGet() } as PathObjectHierarchyListener
        hierarchy.addListener(listener)
        Replaced done = null
        try {
            for (int attempt = 0; done == null; attempt++) {
                int before = changes.get()
                def decided = attempt < ATTEMPTS ? decide.get() : null
                synchronized (hierarchy) {
                    if (decided == null)
                        decided = decide.get()
                    else if (changes.get() != before)
                        continue
                    done = carryOut(hierarchy, plane, decided, objects)
                }
            }
        } finally {
            hierarchy.removeListener(listener)
        }
        hierarchy.fireHierarchyChangedEvent(source, hierarchy.rootObject)
        done
    }

    private static Replaced carryOut(PathObjectHierarchy hierarchy, ImagePlane plane, Replacement<PathObject> decided, List<PathObject> objects) {
        def done = new Replaced(hierarchy, plane)
        done.decided = decided
        hierarchy.selectionModel.deselectObjects(decided.removed())
        Map<PathObject, List<PathObject>> out = new IdentityHashMap<>()
        decided.removed().each { PathObject object ->
            done.removed.add(object)
            done.parents.add(object.parent.ID)
            out.computeIfAbsent(object.parent) { new ArrayList<PathObject>() }.add(object)
        }
        out.each { PathObject parent, List<PathObject> some ->
            // clearing is fast, removing one by one is not
            if (some.size() == parent.nChildObjects())
                parent.clearChildObjects()
            else
                parent.removeChildObjects(some)
        }
        Map<PathObject, List<PathObject>> into = new IdentityHashMap<>()
        objects.eachWithIndex { PathObject object, int i ->
            PathObject home = decided.homes()[i]
            if (home != null) {
                into.computeIfAbsent(home) { new ArrayList<PathObject>() }.add(object)
                done.added.add(object.ID)
            }
        }
        into.each { PathObject home, List<PathObject> some -> home.addChildObjects(some) }
        done
    }
}
