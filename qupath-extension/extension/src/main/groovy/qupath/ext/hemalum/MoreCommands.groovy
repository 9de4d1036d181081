package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicBoolean
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/** Corrections and their export; called on the user interface's thread. */
@CompileStatic
final class MoreCommands {

    private final QuPathGUI qupath
    private final AtomicBoolean busy = new AtomicBoolean()

    MoreCommands(QuPathGUI qupath) {
        this.qupath = qupath
    }

    /** Makes the nuclei inside the selected annotation editable; asks first where there are more than anyone corrects. */
    void correct() {
        attempt {
            def data = imageData()
            PathObject region = selected()
            away('hemalum-correct') {
                int count = Corrections.count(data, region)
                if (count > Corrections.MANY && !FXUtils.callOnApplicationThread { Dialogs.showYesNoDialog(Strings.get('title'), Strings.get('correct.many', count)) })
                    return
                int begun = Corrections.begin(data, region)
                Platform.runLater { Dialogs.showInfoNotification(Strings.get('title'), Strings.get('correct.begun', begun)) }
            }
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
            PathObject chosen = region
            away('hemalum-corrected') {
                def count = Corrections.done(data, chosen)
                String text = Strings.get('correct.done', count.nuclei, count.edited, count.added, count.deleted)
                if (count.cells > 0)
                    text += ' ' + Strings.get('correct.cells', count.cells)
                if (count.large > 0)
                    text += ' ' + Strings.get('correct.large', count.large)
                Platform.runLater {
                    if (count.large > 0)
                        say(text)
                    else
                        Dialogs.showInfoNotification(Strings.get('title'), text)
                }
            }
        }
    }

    /** Beside the user interface, since it takes longer the more nuclei there are; one at a time. */
    private void away(String name, Runnable work) {
        if (!busy.compareAndSet(false, true))
            throw new IllegalStateException(Strings.get('error.correct.busy'))
        def thread = new Thread({
            try {
                work.run()
            } catch (Exception e) {
                Platform.runLater { say(e.message ?: e.toString()) }
            } finally {
                busy.set(false)
            }
        }, name)
        thread.daemon = true
        thread.start()
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
                    def written = TrainingExport.export(project, folder.toPath(), open)
                    end = written.regions == 0 ? Strings.get('export.none') : Strings.get('export.done', written.regions, folder.path)
                    if (!written.left.isEmpty())
                        end += '\n\n' + Strings.get('export.left', written.left.join('\n'))
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
