package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.ServiceException
import java.awt.image.BufferedImage
import org.locationtech.jts.algorithm.locate.IndexedPointInAreaLocator
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Location
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass

/**
 * Nuclei that a person may reshape. QuPath's tools change annotations only, so inside a chosen region our detections become
 * annotations, and detections again when the person is done. All that is needed to go back lies in the objects themselves, so a
 * project may be saved and opened in between.
 */
@CompileStatic
final class Corrections {

    /** Class of a region in which every nucleus is right. */
    static final String COMPLETE = 'Complete'
    /** Class of a nucleus that can be edited. */
    static final String NUCLEUS = 'Nucleus'

    private static final String CLASS = 'hemalum.class', OUTLINE = 'hemalum.outline', IDS = 'hemalum.ids', STATE = 'hemalum.correcting'
    /** What became of a nucleus: edited or added; unchanged ones carry nothing. */
    static final String MARK = 'Hemalum correction'
    /** Names of nuclei that were deleted in a region. */
    static final String DELETED = 'Hemalum deleted'

    /** How many nuclei are there and what became of them. */
    @CompileStatic
    static final class Count {
        int nuclei, edited, added, deleted
    }

    private Corrections() {}

    /** Whether a region's nuclei are being corrected. */
    static boolean open(PathObject region) {
        region != null && region.isAnnotation() && region.metadata.containsKey(STATE)
    }

    /** Whether a person has said that every nucleus of this region is right: no run replaces or adds any, unless asked for this region. */
    static boolean isComplete(PathObject object) {
        object.isAnnotation() && object.pathClass?.toString() == COMPLETE
    }

    /**
     * Makes our detections inside a region editable.
     *
     * @param region an annotation with an area; gets the class {@link #COMPLETE} and is locked
     * @return how many nuclei can be edited now
     */
    static int begin(ImageData<BufferedImage> imageData, PathObject region) {
        if (region == null || !region.isAnnotation() || !region.ROI.isArea())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.select'), null)
        if (open(region))
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.open'), null)
        def hierarchy = imageData.hierarchy
        List<PathObject> inside = objectsInside(region, hierarchy.detectionObjects.findAll { PathObject it -> Nuclei.ours(it) })
        List<PathObject> editable = inside.collect { PathObject nucleus ->
            // of a cell only the nucleus can be corrected; its boundary follows from it
            PathObject annotation = PathObjects.createAnnotationObject(Nuclei.outline(nucleus), PathClass.fromString(NUCLEUS), nucleus.measurementList)
            annotation.setID(nucleus.ID)
            annotation.metadata[CLASS] = nucleus.pathClass?.toString() ?: ''
            annotation.metadata[OUTLINE] = fingerprint(annotation)
            annotation
        }
        region.metadata[STATE] = 'open'
        region.metadata[IDS] = inside.collect { PathObject it -> it.ID.toString() }.join(' ')
        region.setPathClass(PathClass.fromString(COMPLETE))
        region.locked = true
        exchange(hierarchy, inside, editable, region)
        editable.size()
    }

    /**
     * Makes the region's nuclei detections again, with the ids that they had, and marks what was edited, added and deleted.
     */
    static Count done(ImageData<BufferedImage> imageData, PathObject region) {
        if (!open(region))
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.not.open'), null)
        def hierarchy = imageData.hierarchy
        List<PathObject> candidates = hierarchy.annotationObjects.findAll { PathObject it ->
            it.hasROI() && it.ROI.isArea() && (it.pathClass?.toString() == NUCLEUS || it.pathClass == null && within(region, it))
        }.toList()
        Set<String> before = (region.metadata[IDS] ?: '').tokenize(' ') as Set<String>
        // a nucleus that was drawn across the border still counts; an own one that left the region too
        Set<PathObject> nuclei = new LinkedHashSet<>(objectsInside(region, candidates))
        nuclei.addAll(candidates.findAll { PathObject it -> before.contains(it.ID.toString()) })
        def count = new Count(nuclei: nuclei.size())
        List<PathObject> detections = nuclei.collect { PathObject annotation ->
            String name = annotation.metadata[CLASS]
            boolean own = annotation.metadata.containsKey(OUTLINE)
            boolean edited = own && annotation.metadata[OUTLINE] != fingerprint(annotation)
            boolean keep = own && !edited
            PathClass pathClass = name ? PathClass.fromString(name) : null
            // measurements of another outline would be wrong; only the probability stays, by which a nucleus of ours is known
            PathObject detection = keep ? PathObjects.createDetectionObject(annotation.ROI, pathClass, annotation.measurementList)
                    : PathObjects.createDetectionObject(annotation.ROI, pathClass)
            if (!keep)
                detection.measurementList.put(Nuclei.PROBABILITY, own ? annotation.measurementList.get(Nuclei.PROBABILITY) : 1.0d)
            detection.measurementList.close()
            detection.setID(annotation.ID)
            if (!keep)
                detection.metadata[MARK] = own ? 'edited' : 'added'
            if (edited) count.edited++
            if (!own) count.added++
            detection
        }
        List<String> gone = before.findAll { String id -> !nuclei.any { PathObject it -> it.ID.toString() == id } }.toList()
        count.deleted = gone.size()
        region.metadata.remove(STATE)
        region.metadata.remove(IDS)
        if (!gone.isEmpty())
            region.metadata[DELETED] = gone.join(' ')
        exchange(hierarchy, nuclei.toList(), detections, region)
        count
    }

    /** Whether an annotation without a class was drawn in the region, and is not one that the region itself lies in. */
    private static boolean within(PathObject region, PathObject annotation) {
        !annotation.is(region) && annotation.ROI.getArea() < region.ROI.getArea() &&
                region.ROI.geometry.envelopeInternal.contains(annotation.ROI.geometry.envelopeInternal)
    }

    private static void exchange(qupath.lib.objects.hierarchy.PathObjectHierarchy hierarchy, List<PathObject> out, List<PathObject> into, PathObject parent) {
        hierarchy.selectionModel.deselectObjects(out)
        out.groupBy { PathObject it -> it.parent }.each { PathObject from, List<PathObject> objects ->
            from.removeChildObjects(objects)
        }
        parent.addChildObjects(into)
        hierarchy.fireHierarchyChangedEvent(this, hierarchy.rootObject)
    }

    private static List<PathObject> objectsInside(PathObject region, Collection<PathObject> objects) {
        def geometry = region.ROI.geometry
        def box = geometry.envelopeInternal
        def locator = new IndexedPointInAreaLocator(geometry)
        objects.findAll { PathObject it ->
            double x = it.ROI.centroidX, y = it.ROI.centroidY
            it.ROI.imagePlane == region.ROI.imagePlane && box.contains(x, y) && locator.locate(new Coordinate(x, y)) != Location.EXTERIOR
        }.toList()
    }

    /** Equal as long as no vertex moved; in 1/8 px, which is what outlines are given in. */
    private static String fingerprint(PathObject object) {
        long hash = 1
        for (Coordinate point : object.ROI.geometry.coordinates)
            hash = 31 * (31 * hash + Math.round(8 * point.x)) + Math.round(8 * point.y)
        Long.toHexString(hash)
    }
}
