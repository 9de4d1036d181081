package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.RunControl
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.ProjectImageEntry

/** Commands on projects and corrections; called on the user interface's thread. */
@CompileStatic
final class MoreCommands {

    private final QuPathGUI qupath

    MoreCommands(QuPathGUI qupath) {
        this.qupath = qupath
    }

    /** Segments every image of the project. */
    void segment() {
        def project = qupath.project
        if (project == null || project.imageList.isEmpty()) {
            say(Strings.get('error.no.project'))
            return
        }
        if (!Dialogs.showYesNoDialog(Strings.get('title'), Strings.get('project.ask', project.imageList.size())))
            return
        Map<ProjectImageEntry<BufferedImage>, ImageData<BufferedImage>> open = [:]
        qupath.allViewers.each { QuPathViewer viewer ->
            def entry = viewer.imageData == null ? null : project.getEntry(viewer.imageData)
            if (entry != null)
                open[entry] = viewer.imageData
        }
        def control = new RunControl()
        def window = new RunWindow(qupath.stage, null, null, control)
        def thread = new Thread({
            def report = ProjectRun.run(project, new Segmenter(Preferences.settings()), window, control, open)
            Platform.runLater {
                window.close()
                int nuclei = (report.nuclei.values().sum() ?: 0) as int
                if (report.failed.isEmpty())
                    Dialogs.showInfoNotification(Strings.get('title'), Strings.get('project.done', report.nuclei.size(), nuclei))
                else
                    say(Strings.get('project.failed', report.nuclei.size(), nuclei, report.failed.collect { key, value -> "$key: $value" }.join('\n')))
            }
        }, 'hemalum-project')
        thread.daemon = true
        thread.start()
    }

    /** Makes the nuclei inside the selected annotation editable. */
    void correct() {
        attempt {
            int count = Corrections.begin(imageData(), selected())
            Dialogs.showInfoNotification(Strings.get('title'), Strings.get('correct.begun', count))
        }
    }

    /** Ends the correction of the selected region, or of the only one that is open. */
    void corrected() {
        attempt {
            def data = imageData()
            PathObject region = selected()
            if (!Corrections.open(region)) {
                def open = data.hierarchy.annotationObjects.findAll { PathObject object -> Corrections.open(object) }
                region = open.size() == 1 ? open.first() : region
            }
            def count = Corrections.done(data, region)
            Dialogs.showInfoNotification(Strings.get('title'), Strings.get('correct.done', count.nuclei, count.edited, count.added, count.deleted))
        }
    }

    /** Writes the corrected regions of the project. */
    void export() {
        attempt {
            def project = qupath.project
            if (project == null)
                throw new IllegalStateException(Strings.get('error.no.project'))
            def folder = FileChoosers.promptForDirectory(Strings.get('export.title'), null)
            if (folder == null)
                return
            int regions = TrainingExport.export(project, folder.toPath())
            say(regions == 0 ? Strings.get('export.none') : Strings.get('export.done', regions, folder.path))
        }
    }

    private ImageData<BufferedImage> imageData() {
        if (qupath.imageData == null)
            throw new IllegalStateException(Strings.get('error.no.image'))
        qupath.imageData
    }

    private PathObject selected() {
        imageData().hierarchy.selectionModel.selectedObject
    }

    private static void attempt(Runnable action) {
        try {
            action.run()
        } catch (Exception e) {
            say(e.message ?: e.toString())
        }
    }

    private static void say(String text) {
        Dialogs.showPlainMessage(Strings.get('title'), text)
    }
}
