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
     * Segments every image: its annotations if it has any, else the whole of it. An image that fails does not stop the others, and one
     * that is set to another stain than H&E is left out and named, since nobody can be asked.
     *
     * @param open an image that a viewer shows is changed in place and not saved behind the user's back
     */
    static Report run(Project<BufferedImage> project, Segmenter segmenter, Monitor monitor, RunControl control, OpenImages open) {
        def report = new Report()
        for (ProjectImageEntry<BufferedImage> entry : project.imageList) {
            if (control.isStopped())
                break
            monitor.stage(Strings.get('project.image', entry.imageName))
            ImageData<BufferedImage> shown = open.of(entry)
            ImageData<BufferedImage> imageData = shown
            try {
                if (imageData == null)
                    imageData = entry.readImageData()
                if (!SegmentCommand.isHE(imageData)) {
                    report.failed[entry.imageName] = Strings.get('project.not.he', imageData.imageType.toString())
                    continue
                }
                List<PathObject> parents = imageData.hierarchy.annotationObjects.findAll { PathObject it -> it.hasROI() && it.ROI.isArea() }.toList()
                boolean whole = parents.isEmpty()
                def result = segmenter.run(imageData, whole ? Where.IMAGE : Where.SELECTED, whole ? [imageData.hierarchy.rootObject] : parents,
                        monitor, control, null)
                if (shown == null)
                    entry.saveImageData(imageData)
                else if (!open.shows(shown) && !open.saveClosed(shown, result))
                    throw new IllegalStateException(Strings.get('error.closed', entry.imageName))
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
