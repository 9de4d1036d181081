package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.client.Opened
import hemalum.client.RunControl
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicBoolean
import javafx.animation.PauseTransition
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.layout.HBox
import javafx.scene.layout.VBox
import javafx.stage.Stage
import javafx.stage.Window
import javafx.util.Duration
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.regions.ImagePlane

/** A small window that shows how a run goes on, beside the overlay in the viewer; it blocks nothing. */
@CompileStatic
final class RunWindow implements Monitor {

    private static final long REPAINT_MS = 200
    private static final double MARGIN = 24.0d

    final RunOverlay overlay
    private final QuPathViewer viewer
    private final RunControl control
    private final Stage stage = new Stage()
    private final ProgressBar bar = new ProgressBar(ProgressBar.INDETERMINATE_PROGRESS)
    private final Label what = new Label(), numbers = new Label(' \n '), notice = new Label()
    private final AtomicBoolean repaint = new AtomicBoolean()
    private volatile long started = System.nanoTime()

    /** To be made on the user interface's thread. */
    RunWindow(Window owner, QuPathViewer viewer, ImageData<BufferedImage> imageData, ImagePlane plane, RunControl control) {
        this.viewer = viewer
        this.control = control
        overlay = new RunOverlay(imageData, plane, { show() })
        def keep = new Button(Strings.get('run.stop'))
        def cancel = new Button(Strings.get('run.cancel'))
        keep.onAction = { keep.disable = true; what.text = Strings.get('run.stopping'); control.stop() }
        cancel.onAction = { cancel.disable = true; keep.disable = true; what.text = Strings.get('run.cancelling'); control.cancel() }
        bar.maxWidth = Double.MAX_VALUE
        notice.wrapText = true
        def buttons = new HBox(8.0d, keep, cancel)
        buttons.alignment = Pos.CENTER_RIGHT
        def content = new VBox(8.0d, what, bar, numbers, notice, buttons)
        content.padding = new Insets(12)
        content.prefWidth = 420
        stage.title = Strings.get('run.title')
        stage.scene = new Scene(content)
        stage.initOwner(owner)
        // closing the window must not leave a run behind that nobody sees
        stage.onCloseRequest = { event -> event.consume(); cancel.fire() }
        viewer.customOverlayLayers.add(overlay)
        stage.onShown = {
            // not over the middle, where the first nuclei appear
            stage.x = owner.x + owner.width - stage.width - MARGIN
            stage.y = owner.y + owner.height - stage.height - MARGIN
        }
        stage.show()
        // no key that was meant for something else may end it
        content.requestFocus()
    }

    /** Takes window and overlay away. */
    void close() {
        stage.close()
        overlay.close()
        viewer.customOverlayLayers.remove(overlay)
        viewer.repaint()
    }

    @Override
    void stage(String text) {
        Platform.runLater { what.text = text; bar.progress = ProgressBar.INDETERMINATE_PROGRESS }
    }

    @Override
    void opened(Opened plan) {
        started = System.nanoTime()
        String text = plan.notices().join('\n')
        Platform.runLater { notice.text = text; stage.sizeToScene() }
    }

    @Override
    void found(FoundNuclei nuclei) {
        overlay.add(nuclei)
    }

    @Override
    void failed(Opened.Tile tile, String reason) {
        overlay.addFailed(tile)
        Platform.runLater { notice.text = Strings.get('run.tile.failed', reason) }
    }

    @Override
    void progress(int read, int sent, int done, int settled, int total, long nuclei, double seconds) {
        double share = total == 0 ? 1.0d : done / (double) total
        String text = numbers(read, sent, done, settled, total, nuclei, seconds)
        Platform.runLater { bar.progress = share; numbers.text = text }
    }

    static String numbers(int read, int sent, int done, int settled, int total, long nuclei, double seconds) {
        double left = done == 0 ? -1.0d : seconds * (total - done) / done
        Strings.get('run.numbers', read, sent, done, settled, total, nuclei, seconds > 0 ? nuclei / seconds : 0.0d,
                left < 0 ? '–' : Strings.get(left < 90 ? 'run.seconds' : 'run.minutes', left < 90 ? left : left / 60))
    }

    @Override
    boolean keepAfter(Exception reason) {
        FXUtils.callOnApplicationThread { Dialogs.showYesNoDialog(Strings.get('run.title'), Strings.get('run.keep', reason.message ?: reason.toString())) }
    }

    /** At once, then at most five times a second: a repaint of the viewer costs more than a tile's nuclei. */
    private void show() {
        if (repaint.compareAndSet(false, true))
            Platform.runLater {
                viewer.repaint()
                def pause = new PauseTransition(Duration.millis(REPAINT_MS as double))
                // what came in the meantime
                pause.onFinished = { repaint.set(false); viewer.repaint() }
                pause.play()
            }
    }
}
