package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/** Corrections and their export; called on the user interface's thread. */
@CompileStatic
final class MoreCommands {

    private final QuPathGUI qupath

    MoreCommands(QuPathGUI qupath) {
        this.qupath = qupath
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
            def open = new OpenImages(qupath, project)
            def thread = new Thread({
                String end
                try {
                    int regions = TrainingExport.export(project, folder.toPath(), open)
                    end = regions == 0 ? Strings.get('export.none') : Strings.get('export.done', regions, folder.path)
                } catch (Exception e) {
                    end = e.message ?: e.toString()
                }
                Platform.runLater { say(end) }
            }, 'hemalum-export')
            thread.daemon = true
            thread.start()
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
