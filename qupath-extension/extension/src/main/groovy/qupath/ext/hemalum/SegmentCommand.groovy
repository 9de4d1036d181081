package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.RunControl
import hemalum.client.ServiceException
import hemalum.rules.Choice
import hemalum.rules.Replacement
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.regions.ImagePlane

/** What a click on <i>Segment nuclei</i> does. Its methods are called on the user interface's thread, the work is not done there. */
@CompileStatic
final class SegmentCommand {

    private static final Logger logger = LoggerFactory.getLogger(SegmentCommand)

    private final QuPathGUI qupath
    private volatile RunControl running
    private Nuclei.Replaced last
    /** µm per pixel that the user gave for images that state none, to be offered again; by path, for this session. */
    private final Map<String, Double> pixelSizes = [:]

    SegmentCommand(QuPathGUI qupath) {
        this.qupath = qupath
        // what was replaced in an image is not kept beyond it
        qupath.imageDataProperty().addListener({ observable, old, now ->
            if (last != null && qupath.allViewers.every { QuPathViewer it -> !it.imageData?.hierarchy?.is(last.hierarchy.get()) })
                last = null
        } as ChangeListener<ImageData<BufferedImage>>)
    }

    /** Asks for settings, then runs. */
    void ask() {
        if (ready())
            new SegmentDialog(qupath).show { Settings settings, Where where -> start(settings, where) }
    }

    /** What the toolbar's button does: asks, or runs at once where the user wants that. */
    void click() {
        if (Preferences.askAgain.get())
            ask()
        else
            again()
    }

    /** Runs with the last settings. */
    void again() {
        if (ready())
            start(Preferences.settings(), Preferences.lastWhere())
    }

    /** Runs on every image of the project with the last settings. */
    void project() {
        if (ready())
            start(Preferences.settings(), Where.PROJECT)
    }

    /** Brings back what the last run replaced. */
    void restore() {
        if (last == null || qupath.imageData?.hierarchy?.is(last.hierarchy.get()) != true) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.nothing.to.restore'))
            return
        }
        def wanted = last
        last = null     // not twice at a time
        def thread = new Thread({
            def back = Nuclei.restore(wanted, this)
            Platform.runLater {
                if (back == null || back.added.isEmpty() && back.removed.isEmpty()) {
                    // an undo was there before
                    last = back == null ? null : wanted
                    Dialogs.showWarningNotification(Strings.get('title'), Strings.get('restored.nothing'))
                } else {
                    last = back
                    def kept = back.decided.count(Replacement.Count.CORRECTED)
                    Dialogs.showInfoNotification(Strings.get('title'), Strings.get('restored', back.added.size(), back.removed.size()) +
                            (kept > 0 ? ' ' + Strings.get('notice.corrected', kept) : ''))
                }
            }
        }, 'hemalum-restore')
        thread.daemon = true
        thread.start()
    }

    /** Ends the run that is under way, if there is one. */
    void cancel() {
        running?.cancel()
    }

    private boolean ready() {
        if (running != null)
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.running'))
        else if (qupath.imageData == null && qupath.project == null)
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.no.image'))
        else
            return true
        false
    }

    private void start(Settings settings, Where where) {
        if (where == Where.PROJECT) {
            startProject(settings)
            return
        }
        ImageData<BufferedImage> imageData = qupath.imageData
        if (imageData == null) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.no.image'))
            return
        }
        QuPathViewer viewer = qupath.viewer
        List<PathObject> parents = where.parents(imageData, viewer)
        if (parents.isEmpty() && (where == Where.CORES || where == Where.VIEW)) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get(where == Where.CORES ? 'error.no.cores' : 'error.no.view'))
            return
        }
        // what can be said at once is said before anything is asked
        def choice = Choice.of(QuPathView.IT, parents, imageData.server.width, imageData.server.height)
        if (choice.refused() != null) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('refused.' + choice.refused().name().toLowerCase(Locale.ROOT)))
            return
        }
        if (!pixelSizeKnown(imageData, settings) || !stainAccepted(imageData))
            return
        def control = new RunControl()
        running = control
        ImagePlane plane = choice.whole() ? ImagePlane.defaultPlane : choice.regions().first().ROI.imagePlane
        def window = new RunWindow(qupath.stage, viewer, imageData, plane, control)
        double[] centre = [viewer.centerPixelX, viewer.centerPixelY] as double[]
        def project = qupath.project
        def thread = new Thread({ work(imageData, project, settings, where, parents, control, window, centre) }, 'hemalum-run')
        thread.daemon = true
        thread.start()
    }

    private void startProject(Settings settings) {
        def project = qupath.project
        if (project == null || project.imageList.isEmpty()) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.no.project'))
            return
        }
        if (!Dialogs.showYesNoDialog(Strings.get('title'), Strings.get('project.ask', project.imageList.size())))
            return
        def open = new OpenImages(qupath, project)
        def control = new RunControl()
        running = control
        def window = new ProjectWindow(qupath.stage, control)
        def thread = new Thread({
            try {
                window.end(summary(new ProjectRun(project, new Segmenter(settings), window, control, open).run(window)))
            } catch (Throwable e) {
                window.end(e.message ?: e.toString())
                Platform.runLater { tell(e) }
            } finally {
                running = null
            }
        }, 'hemalum-project')
        thread.daemon = true
        thread.start()
    }

    private void work(ImageData<BufferedImage> imageData, Project<BufferedImage> project, Settings settings, Where where, List<PathObject> parents,
                      RunControl control, RunWindow window, double[] centre) {
        Segmenter.Result result = null
        Throwable failure = null
        boolean shown = true, saved = false
        try {
            result = new Segmenter(settings).run(imageData, where, parents, window, control, centre)
            def open = new OpenImages(qupath, project)
            shown = open.shows(imageData)
            saved = !shown && open.saveClosed(imageData, result)
        } catch (Throwable e) {
            failure = e
        } finally {
            running = null
            Platform.runLater {
                window.close()
                if (failure != null) {
                    tell(failure)
                } else if (shown) {
                    last = result.replaced
                    say(result, control)
                } else if (saved) {
                    Dialogs.showInfoNotification(Strings.get('title'), Strings.get('done.closed', result.nuclei, imageData.server.metadata.name))
                } else {
                    Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.closed', imageData.server.metadata.name))
                }
            }
        }
    }

    private static String summary(List<ProjectRun.Row> rows) {
        int done = rows.count { ProjectRun.Row it -> it.state == ProjectRun.State.DONE } as int
        int skipped = rows.count { ProjectRun.Row it -> it.state == ProjectRun.State.SKIPPED } as int
        Strings.get('project.done', done, rows.size(), (rows*.nuclei.sum() ?: 0) as int, skipped, rows.size() - done - skipped)
    }

    private static void say(Segmenter.Result result, RunControl control) {
        def summary = result.summary
        int failed = summary.failed().size()
        String more = result.notices.isEmpty() ? '' : '\n' + result.notices.join('\n')
        if (failed == 0 && result.notices.isEmpty())
            Dialogs.showInfoNotification(Strings.get('title'), Strings.get('done', result.nuclei))
        else if (failed == 0)
            Dialogs.showWarningNotification(Strings.get('title'), Strings.get('done', result.nuclei) + more)
        else if (control.isStopped())
            Dialogs.showWarningNotification(Strings.get('title'), Strings.get('done.stopped', result.nuclei, summary.tiles() - failed, summary.tiles()) + more)
        else
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('done.partly', result.nuclei, failed, summary.tiles(),
                    summary.failed().values().first()) + more)
    }

    /** Shows a failure as a sentence; a cancel needs none. */
    static void tell(Throwable failure) {
        logger.debug('Hemalum failed', failure)
        if (failure instanceof ServiceException) {
            if (((ServiceException) failure).kind() == ServiceException.Kind.CANCELLED)
                Dialogs.showInfoNotification(Strings.get('title'), Strings.get('cancelled'))
            else
                Dialogs.showErrorMessage(Strings.get('title'), failure.message)
        } else {
            logger.error('Hemalum failed', failure)
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.unexpected', failure.toString()))
        }
    }

    private boolean pixelSizeKnown(ImageData<BufferedImage> imageData, Settings settings) {
        def calibration = imageData.server.pixelCalibration
        if (settings.pixelSize != null || calibration.hasPixelSizeMicrons()) {
            boolean fine = settings.pixelSize != null || Segmenter.square(calibration)
            if (!fine)
                Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.not.square', calibration.pixelWidthMicrons, calibration.pixelHeightMicrons))
            return fine
        }
        String path = imageData.server.path
        // a text: the box for numbers loses what is typed where a comma is the decimal sign
        String text = Dialogs.showInputDialog(Strings.get('title'), Strings.get('ask.pixel.size'), (pixelSizes[path] ?: 0.5d).toString())
        if (text == null)
            return false
        Double given = Strings.number(text)
        if (given == null || !(given >= 0.05d && given <= 4.0d)) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.pixel.size', text))
            return false
        }
        pixelSizes[path] = given
        settings.pixelSize = given
        if (Dialogs.showYesNoDialog(Strings.get('title'), Strings.get('ask.pixel.size.keep', given))) {
            imageData.updateServerMetadata(new ImageServerMetadata.Builder(imageData.server.metadata).pixelSizeMicrons(given, given).build())
            settings.pixelSize = null
        }
        true
    }

    /** Whether an image is said to be stained with H&E, or nothing is said of it. */
    static boolean isHE(ImageData<BufferedImage> imageData) {
        imageData.imageType == ImageData.ImageType.BRIGHTFIELD_H_E || imageData.imageType == ImageData.ImageType.UNSET
    }

    private static boolean stainAccepted(ImageData<BufferedImage> imageData) {
        if (!imageData.server.isRGB()) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.not.rgb'))
            return false
        }
        isHE(imageData) || Dialogs.showYesNoDialog(Strings.get('title'), Strings.get('ask.not.he', imageData.imageType.toString()))
    }
}
