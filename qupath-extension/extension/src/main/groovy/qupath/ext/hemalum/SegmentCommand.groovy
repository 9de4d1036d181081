package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.RunControl
import hemalum.client.ServiceException
import java.awt.image.BufferedImage
import javafx.application.Platform
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project

/** What a click on <i>Segment nuclei</i> does. Its methods are called on the user interface's thread, the work is not done there. */
@CompileStatic
final class SegmentCommand {

    private static final Logger logger = LoggerFactory.getLogger(SegmentCommand)

    private final QuPathGUI qupath
    private volatile RunControl running
    private Nuclei.Replaced last
    /** µm per pixel that the user gave for images that state none; by path, for this session. */
    private final Map<String, Double> pixelSizes = [:]

    SegmentCommand(QuPathGUI qupath) {
        this.qupath = qupath
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
        if (last == null || qupath.imageData?.hierarchy?.is(last.hierarchy) != true) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.nothing.to.restore'))
            return
        }
        def wanted = last
        last = null     // not twice at a time
        def thread = new Thread({
            def back = Nuclei.restore(wanted, this)
            Platform.runLater {
                last = back
                Dialogs.showInfoNotification(Strings.get('title'), Strings.get('restored'))
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
        if (parents.isEmpty()) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get(where == Where.CORES ? 'error.no.cores' : 'error.nothing.selected'))
            return
        }
        if (!pixelSizeKnown(imageData, settings) || !stainAccepted(imageData))
            return
        def control = new RunControl()
        running = control
        def window = new RunWindow(qupath.stage, viewer, imageData, control)
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
        def window = new RunWindow(qupath.stage, null, null, control)
        def thread = new Thread({
            try {
                def report = ProjectRun.run(project, new Segmenter(settings), window, control, open)
                Platform.runLater { say(report) }
            } catch (Throwable e) {
                Platform.runLater { tell(e) }
            } finally {
                running = null
                Platform.runLater { window.close() }
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
                    say(result)
                } else if (saved) {
                    Dialogs.showInfoNotification(Strings.get('title'), Strings.get('done.closed', result.nuclei, imageData.server.metadata.name))
                } else {
                    Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.closed', imageData.server.metadata.name))
                }
            }
        }
    }

    private static void say(ProjectRun.Report report) {
        int nuclei = (report.nuclei.values().sum() ?: 0) as int
        if (report.failed.isEmpty())
            Dialogs.showInfoNotification(Strings.get('title'), Strings.get('project.done', report.nuclei.size(), nuclei))
        else
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('project.failed', report.nuclei.size(), nuclei,
                    report.failed.collect { key, value -> "$key: $value" }.join('\n')))
    }

    private static void say(Segmenter.Result result) {
        def summary = result.summary
        if (summary.complete())
            Dialogs.showInfoNotification(Strings.get('title'), Strings.get('done', result.nuclei))
        else if (summary.failed().isEmpty())
            Dialogs.showWarningNotification(Strings.get('title'), Strings.get('done.stopped', result.nuclei))
        else
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('done.partly', result.nuclei, summary.failed().size(), summary.tiles(),
                    summary.failed().values().first()))
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
        if (settings.pixelSize != null || imageData.server.pixelCalibration.hasPixelSizeMicrons())
            return true
        String path = imageData.server.path
        Double given = pixelSizes[path] ?: Dialogs.showInputDialog(Strings.get('title'), Strings.get('ask.pixel.size'), (Double) 0.5d)
        if (given == null)
            return false
        if (!(given >= 0.05d && given <= 4.0d)) {
            Dialogs.showErrorMessage(Strings.get('title'), Strings.get('error.pixel.size', given))
            return false
        }
        pixelSizes[path] = given
        settings.pixelSize = given
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
