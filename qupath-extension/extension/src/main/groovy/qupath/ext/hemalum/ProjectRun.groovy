package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.RunControl
import hemalum.client.ServiceException
import java.awt.image.BufferedImage
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/** The images of a project one after another, each saved when it is done. */
@CompileStatic
final class ProjectRun {

    /** How it went: nuclei by image, and a sentence for each image that failed. */
    @CompileStatic
    static final class Report {
        final Map<String, Integer> nuclei = new LinkedHashMap<>()
        final Map<String, String> failed = new LinkedHashMap<>()
    }

    private ProjectRun() {}

    /**
     * Segments every image: its annotations if it has any, else the whole of it. An image that fails does not stop the others.
     *
     * @param open the data of an image that is open in a viewer, by entry: it is changed in place and not saved behind the user's back
     */
    static Report run(Project<BufferedImage> project, Segmenter segmenter, Monitor monitor, RunControl control,
                      Map<ProjectImageEntry<BufferedImage>, ImageData<BufferedImage>> open) {
        def report = new Report()
        for (ProjectImageEntry<BufferedImage> entry : project.imageList) {
            if (control.isStopped())
                break
            monitor.stage(Strings.get('project.image', entry.imageName))
            ImageData<BufferedImage> shown = open[entry]
            ImageData<BufferedImage> imageData = shown
            try {
                if (imageData == null)
                    imageData = entry.readImageData()
                List<PathObject> parents = imageData.hierarchy.annotationObjects.findAll { PathObject it -> it.hasROI() && it.ROI.isArea() }.toList()
                boolean whole = parents.isEmpty()
                def result = segmenter.run(imageData, whole ? [imageData.hierarchy.rootObject] : parents, monitor, control, null)
                SegmentCommand.record(imageData, segmenter.settings, whole ? Where.IMAGE : Where.SELECTED, parents, result)
                if (shown == null)
                    entry.saveImageData(imageData)
                report.nuclei[entry.imageName] = result.nuclei
                if (!result.summary.complete())
                    report.failed[entry.imageName] = Strings.get('project.partly', result.summary.failed().size(), result.summary.tiles())
            } catch (ServiceException e) {
                if (e.kind() == ServiceException.Kind.CANCELLED)
                    break
                report.failed[entry.imageName] = e.message
            } catch (Exception e) {
                report.failed[entry.imageName] = e.message ?: e.toString()
            } finally {
                if (shown == null)
                    imageData?.close()
            }
        }
        if (!report.nuclei.isEmpty())
            project.syncChanges()
        report
    }
}
