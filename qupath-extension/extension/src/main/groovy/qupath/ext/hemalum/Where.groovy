package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.rules.Marks
import java.awt.Shape
import java.awt.geom.Rectangle2D
import java.awt.image.BufferedImage
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.TMACoreObject
import qupath.lib.regions.ImagePlane

/** Where a run looks for nuclei. */
@CompileStatic
enum Where {
    /** The selected annotations and TMA cores. */
    SELECTED,
    /** What the viewer shows. */
    VIEW,
    /** Every TMA core that is not missing. */
    CORES,
    /** The whole image. */
    IMAGE,
    /** Every image of the project: its annotations, or the whole of it if it has none ({@link ProjectRun}). */
    PROJECT

    @Override
    String toString() {
        Strings.get('where.' + name().toLowerCase(Locale.ROOT))
    }

    /** The regions to segment; empty if there are none. */
    List<PathObject> parents(ImageData<BufferedImage> imageData, QuPathViewer viewer) {
        def hierarchy = imageData.hierarchy
        switch (this) {
            case SELECTED:
                return hierarchy.selectionModel.selectedObjects.findAll { PathObject it -> it.isAnnotation() || it.isTMACore() }.toList()
            case CORES:
                return (hierarchy.TMAGrid?.TMACoreList ?: []).findAll { !it.isMissing() }.collect { (PathObject) it }
            case VIEW:
                if (viewer == null)
                    return []
                Rectangle2D box = ((Shape) viewer.displayedRegionShape).bounds2D
                Rectangle2D seen = box.createIntersection(new Rectangle2D.Double(0, 0, imageData.server.width, imageData.server.height))
                if (seen.empty)
                    return []
                double x = Math.floor(seen.x), y = Math.floor(seen.y)
                return [Segmenter.rectangle(x, y, Math.ceil(seen.maxX) - x as double, Math.ceil(seen.maxY) - y as double, viewer.imagePlane)]
            default:
                // of an image with several planes it is the one that the viewer shows
                ImagePlane plane = viewer?.imagePlane
                return plane == null || plane == ImagePlane.defaultPlane ? [hierarchy.rootObject]
                        : [Segmenter.rectangle(0, 0, imageData.server.width, imageData.server.height, plane)]
        }
    }

    /** How these regions may have been chosen. */
    static Where of(Collection<? extends PathObject> parents) {
        parents.any { PathObject it -> it.isRootObject() } ? IMAGE : parents.size() == 1 && parents.first().parent == null ? VIEW : SELECTED
    }

    /** Script lines that select the same regions again, and the call that segments them. */
    String script(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents, Settings settings) {
        String select = '', call
        switch (this) {
            case CORES:
                select = cores(imageData, parents)
                call = 'segmentSelected(getCurrentImageData())'
                break
            case SELECTED:
                select = selection(imageData, parents)
                call = 'segmentSelected(getCurrentImageData())'
                break
            default:
                if (parents.first().isRootObject()) {
                    call = 'segmentImage(getCurrentImageData())'
                } else {
                    def roi = parents.first().ROI
                    def plane = roi.imagePlane
                    String which = plane == ImagePlane.defaultPlane ? '' : ", ${plane.z}, ${plane.t}"
                    call = "segmentRegion(getCurrentImageData(), ${roi.boundsX}, ${roi.boundsY}, ${roi.boundsWidth}, ${roi.boundsHeight}$which)"
                }
        }
        "import qupath.ext.hemalum.Hemalum\n${select}${settings.script()}\n    .${call}\n"
    }

    /** All cores, or those of these names: rows and columns are called alike in other arrays. */
    private static String cores(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents) {
        List<TMACoreObject> all = (imageData.hierarchy.TMAGrid?.TMACoreList ?: []).findAll { TMACoreObject it -> !it.isMissing() }
        if (parents.size() == all.size())
            return 'selectTMACores()\n'
        List<String> names = parents.collect { PathObject it -> it.name }
        boolean clear = names.every() && names.every { String name -> all.count { TMACoreObject it -> it.name == name } == 1 }
        String which = clear ? "it.getName() in [${names.collect { Settings.quote(it) }.join(', ')}]"
                : "it.getID().toString() in [${parents.collect { PathObject it -> "'${it.ID}'" }.join(', ')}]"
        "selectObjects { it.isTMACore() && !it.isMissing() && $which }\n"
    }

    /** As general as it can be while it selects exactly these: what one image needs by name, a project needs by rule. */
    private static String selection(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents) {
        Set<PathObject> chosen = new HashSet<>(parents)
        if (parents.every { PathObject it -> it.isTMACore() })
            return cores(imageData, parents)
        // a run leaves corrected regions out, whatever is selected
        Collection<PathObject> all = imageData.hierarchy.annotationObjects.findAll { PathObject it ->
            it.hasROI() && it.ROI.isArea() && !Marks.isCorrected(QuPathView.IT, it)
        }
        if (chosen == new HashSet<>(all))
            return 'selectAnnotations()\n'
        Set<String> classes = parents.collect { PathObject it -> it.pathClass?.toString() } as Set<String>
        if (!classes.contains(null) && chosen == all.findAll { PathObject it -> classes.contains(it.pathClass?.toString()) } as Set)
            return "selectObjects { it.isAnnotation() && it.getPathClass() != null && (it.getPathClass().toString() in [${classes.collect { Settings.quote(it) }.join(', ')}]) }\n"
        "// these annotations of this image only; for a project give them a class and select by it\n" +
                "selectObjects { it.getID().toString() in [${parents.collect { PathObject it -> "'${it.ID}'" }.join(', ')}] }\n"
    }
}
