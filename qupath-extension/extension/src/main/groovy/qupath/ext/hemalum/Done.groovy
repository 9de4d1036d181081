package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.security.MessageDigest
import org.locationtech.jts.geom.Coordinate
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.plugins.workflow.WorkflowStep

/** Whether an image has been segmented with a model and settings already, as its history says. */
@CompileStatic
final class Done {

    private Done() {}

    /** What names these regions as they are now. */
    static String regions(Collection<? extends PathObject> regions) {
        List<String> all = regions.collect { PathObject region ->
            if (region.isRootObject())
                return 'image'
            def plane = region.ROI.imagePlane
            String outline = region.ROI.geometry.coordinates.collect { Coordinate it -> it.x + ' ' + it.y }.join(' ')
            plane.z + ' ' + plane.t + ' ' + outline
        } as List<String>
        digest(all.toSorted().join('\n'))
    }

    static String digest(String text) {
        MessageDigest.getInstance('SHA-256').digest(text.getBytes(StandardCharsets.UTF_8)).encodeHex().toString().substring(0, 16)
    }

    /** Whether the last run on these regions was complete and with this model and these settings, none since was otherwise, and its nuclei are still there. */
    static boolean already(ImageData<BufferedImage> imageData, String sha256, String settings, String regions) {
        for (WorkflowStep step : imageData.historyWorkflow.steps.reverse()) {
            if (step.name != Strings.get('step'))
                continue
            Map<String, ?> was = step.parameterMap
            if (was['sha256']?.toString() != sha256 || was['settings']?.toString() != settings || was['failedTiles']?.toString() != '0')
                return false
            if (was['regions']?.toString() == regions)
                return was['nuclei']?.toString() == '0' || imageData.hierarchy.detectionObjects.any { PathObject it -> Nuclei.ours(it) }
        }
        false
    }
}
