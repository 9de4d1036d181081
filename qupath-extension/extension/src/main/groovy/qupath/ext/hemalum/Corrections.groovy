package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.ServiceException
import hemalum.rules.Correcting
import hemalum.rules.Marks
import hemalum.rules.Measurements
import java.awt.image.BufferedImage
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.io.WKBReader
import org.locationtech.jts.io.WKBWriter
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.roi.GeometryTools

/**
 * Nuclei that a person may reshape. QuPath's tools change annotations only, so inside a chosen region our detections become
 * annotations, and detections again when the person is done. All that is needed to go back lies in the objects themselves, so a
 * project may be saved and opened in between. What is a nucleus is decided by {@link Correcting}.
 */
@CompileStatic
final class Corrections {

    /** More nuclei than anyone corrects by hand: asked about before they become annotations. */
    static final int MANY = 2000

    /** No nucleus is longer; µm. What is larger was drawn as something else. */
    private static final double LONGEST = 60.0d

    private static final String CLASS = 'hemalum.class', OUTLINE = 'hemalum.outline', CELL = 'hemalum.cell', IDS = 'hemalum.ids',
            OTHERS = 'hemalum.others', STATE = 'hemalum.correcting'
    /** What became of a nucleus: edited or added; unchanged ones carry nothing. */
    static final String MARK = 'Hemalum correction'
    /** Names of nuclei that were deleted in a region. */
    static final String DELETED = 'Hemalum deleted'

    /** How many nuclei are there and what became of them; cells that are only nuclei now; what was drawn and is too large. */
    @CompileStatic
    static final class Count {
        int nuclei, edited, added, deleted, cells, large
    }

    private Corrections() {}

    /** Whether a region's nuclei are being corrected. */
    static boolean open(PathObject region) {
        region != null && region.isAnnotation() && region.metadata.containsKey(STATE)
    }

    /** Whether a person has said that every nucleus of this region is right: no run replaces or adds any. */
    static boolean isComplete(PathObject object) {
        object.isAnnotation() && Marks.isCorrected(QuPathView.IT, object)
    }

    /** How many nuclei {@link #begin} would make editable. */
    static int count(ImageData<BufferedImage> imageData, PathObject region) {
        check(region)
        Correcting.begin(QuPathView.IT, region, imageData.hierarchy.detectionObjects).size()
    }

    /**
     * Makes our detections inside a region editable. Takes time where there are many.
     *
     * @param region an annotation with an area; gets the class {@code Complete} and is locked
     * @return how many nuclei can be edited now
     */
    static int begin(ImageData<BufferedImage> imageData, PathObject region) {
        check(region)
        def hierarchy = imageData.hierarchy
        synchronized (hierarchy) {
            List<PathObject> inside = Correcting.begin(QuPathView.IT, region, hierarchy.detectionObjects)
            List<PathObject> editable = inside.collect { PathObject nucleus -> editable(nucleus) }
            region.metadata[OTHERS] = names(Correcting.others(QuPathView.IT, region, hierarchy.annotationObjects))
            region.metadata[STATE] = region.metadata[Marks.CORRECTED] = 'open'
            region.metadata[IDS] = names(inside)
            region.setPathClass(PathClass.fromString(Marks.COMPLETE))
            region.locked = true
            exchange(hierarchy, inside, editable, region)
            editable.size()
        }
    }

    private static void check(PathObject region) {
        if (region == null || !region.isAnnotation() || !region.ROI.isArea())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.select'), null)
        if (open(region))
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.open'), null)
    }

    private static PathObject editable(PathObject nucleus) {
        PathObject annotation = PathObjects.createAnnotationObject(QuPathView.outline(nucleus), PathClass.fromString(Correcting.NUCLEUS), nucleus.measurementList)
        annotation.setID(nucleus.ID)
        annotation.metadata.putAll(nucleus.metadata)
        annotation.metadata[CLASS] = nucleus.pathClass?.toString() ?: ''
        annotation.metadata[OUTLINE] = fingerprint(annotation)
        // QuPath clears measurements where an outline is changed
        double probability = nucleus.measurementList.get(Measurements.PROBABILITY)
        if (!Double.isNaN(probability))
            annotation.metadata[Marks.PROBABILITY] = probability.toString()
        else if (!annotation.metadata.containsKey(Marks.PROBABILITY))
            annotation.metadata[Marks.PROBABILITY] = ''
        if (nucleus.isCell())
            annotation.metadata[CELL] = WKBWriter.toHex(new WKBWriter().write(nucleus.ROI.geometry))
        annotation
    }

    /**
     * Makes the region's nuclei detections again, with the ids that they had, and marks what was edited, added and deleted. Cells stay
     * cells where their nucleus was not edited.
     */
    static Count done(ImageData<BufferedImage> imageData, PathObject region) {
        if (!open(region))
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.correct.not.open'), null)
        def hierarchy = imageData.hierarchy
        def calibration = imageData.server.pixelCalibration
        double longest = LONGEST / (calibration.hasPixelSizeMicrons() ? calibration.averagedPixelSizeMicrons : 0.25d)
        synchronized (hierarchy) {
            Set<String> before = set(region.metadata[IDS])
            def found = Correcting.done(QuPathView.IT, region, hierarchy.annotationObjects, before, set(region.metadata[OTHERS]), longest)
            def count = new Count(nuclei: found.nuclei().size(), large: found.large().size())
            List<PathObject> detections = found.nuclei().collect { PathObject annotation -> nucleus(annotation, count) }
            Set<String> left = detections.collect { PathObject it -> it.ID.toString() } as Set<String>
            List<String> gone = before.findAll { String id -> !left.contains(id) }.toList()
            count.deleted = gone.size()
            [STATE, IDS, OTHERS].each { String key -> region.metadata.remove(key) }
            region.metadata[Marks.CORRECTED] = 'yes'
            // a region may be corrected more than once
            Set<String> deleted = new LinkedHashSet<>(set(region.metadata[DELETED]))
            deleted.addAll(gone)
            if (!deleted.isEmpty())
                region.metadata[DELETED] = deleted.join(' ')
            exchange(hierarchy, found.nuclei(), detections, region)
            count
        }
    }

    private static PathObject nucleus(PathObject annotation, Count count) {
        def said = annotation.metadata
        boolean own = said.containsKey(OUTLINE), edited = own && said[OUTLINE] != fingerprint(annotation), keep = own && !edited
        PathClass pathClass = said[CLASS] ? PathClass.fromString(said[CLASS]) : null
        PathObject made
        if (keep && said.containsKey(CELL))
            made = PathObjects.createCellObject(GeometryTools.geometryToROI(new WKBReader().read(WKBReader.hexToBytes(said[CELL])), annotation.ROI.imagePlane),
                    annotation.ROI, pathClass, annotation.measurementList)
        else if (keep)
            made = PathObjects.createDetectionObject(annotation.ROI, pathClass, annotation.measurementList)
        else
            // measurements of another outline would be wrong; only the probability stays
            made = PathObjects.createDetectionObject(annotation.ROI, pathClass)
        made.setID(annotation.ID)
        made.metadata.putAll(said)
        [CLASS, OUTLINE, CELL].each { String key -> made.metadata.remove(key) }
        if (!keep) {
            Double probability = own ? Strings.number(said[Marks.PROBABILITY] ?: '') : (Double) 1.0d
            if (probability != null)
                made.measurementList.put(Measurements.PROBABILITY, probability)
            made.metadata[Marks.PROBABILITY] = probability == null ? '' : probability.toString()
            // what a person added stays added, however often it is edited
            made.metadata.putIfAbsent(MARK, own ? 'edited' : 'added')
        }
        made.measurementList.close()
        if (edited) count.edited++
        if (!own) count.added++
        if (edited && said.containsKey(CELL)) count.cells++
        made
    }

    private static String names(Collection<PathObject> objects) {
        objects.collect { PathObject it -> it.ID.toString() }.join(' ')
    }

    private static Set<String> set(String names) {
        (names ?: '').tokenize(' ') as Set<String>
    }

    private static void exchange(PathObjectHierarchy hierarchy, List<PathObject> out, List<PathObject> into, PathObject parent) {
        hierarchy.selectionModel.deselectObjects(out)
        out.groupBy { PathObject it -> it.parent }.each { PathObject from, List<PathObject> objects ->
            if (objects.size() == from.nChildObjects())
                from.clearChildObjects()
            else
                from.removeChildObjects(objects)
        }
        parent.addChildObjects(into)
        hierarchy.fireHierarchyChangedEvent(this, hierarchy.rootObject)
    }

    /** Equal as long as no vertex moved; in 1/8 px, which is what outlines are given in. */
    private static String fingerprint(PathObject object) {
        long hash = 1
        for (Coordinate point : object.ROI.geometry.coordinates)
            hash = 31 * (31 * hash + Math.round(8 * point.x)) + Math.round(8 * point.y)
        Long.toHexString(hash)
    }
}
