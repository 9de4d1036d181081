package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.RunControl
import javafx.application.Platform
import javafx.beans.property.ReadOnlyStringWrapper
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.control.TableColumn
import javafx.scene.control.TableView
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox
import javafx.stage.Stage
import javafx.stage.Window

/** How a project's run goes on: a row for every image, which stays until the window is closed. It keeps no nuclei. */
@CompileStatic
final class ProjectWindow implements Monitor, ProjectRun.Watch {

    private final RunControl control
    private final Stage stage = new Stage()
    private final Label image = new Label(), what = new Label(), numbers = new Label()
    private final ProgressBar bar = new ProgressBar(ProgressBar.INDETERMINATE_PROGRESS)
    private final TableView<ProjectRun.Row> table = new TableView<>()
    private final Button keep = new Button(Strings.get('project.stop')), cancel = new Button(Strings.get('run.cancel'))
    private volatile boolean over

    /** To be made on the user interface's thread. */
    ProjectWindow(Window owner, RunControl control) {
        this.control = control
        column('project.column.image', 200) { ProjectRun.Row it -> it.image }
        column('project.column.state', 110) { ProjectRun.Row it -> it.state.toString() }
        column('project.column.nuclei', 80) { ProjectRun.Row it -> it.nuclei == 0 && it.state == ProjectRun.State.WAITING ? '' : it.nuclei.toString() }
        column('project.column.minutes', 70) { ProjectRun.Row it -> it.minutes > 0 ? String.format('%.1f', it.minutes) : '' }
        column('project.column.reason', 360) { ProjectRun.Row it -> it.reason }
        keep.onAction = { keep.disable = true; what.text = Strings.get('run.stopping'); control.stop() }
        cancel.onAction = {
            if (over) {
                stage.close()
            } else {
                cancel.disable = true
                keep.disable = true
                what.text = Strings.get('run.cancelling')
                control.cancel()
            }
        }
        bar.maxWidth = Double.MAX_VALUE
        def buttons = new HBox(8.0d, keep, cancel)
        buttons.alignment = Pos.CENTER_RIGHT
        VBox.setVgrow(table, Priority.ALWAYS)
        def content = new VBox(8.0d, image, bar, what, numbers, table, buttons)
        content.padding = new Insets(12)
        stage.title = Strings.get('project.title')
        stage.scene = new Scene(content, 860, 460)
        stage.initOwner(owner)
        // closing the window must not leave a run behind that nobody sees
        stage.onCloseRequest = { event -> if (!over) { event.consume(); cancel.fire() } }
        stage.show()
        // no key that was meant for something else may end it
        table.requestFocus()
    }

    private void column(String title, double width, Closure<String> text) {
        def column = new TableColumn<ProjectRun.Row, String>(Strings.get(title))
        column.prefWidth = width
        column.cellValueFactory = { TableColumn.CellDataFeatures<ProjectRun.Row, String> it -> new ReadOnlyStringWrapper(text.call(it.value)) }
        table.columns.add(column)
    }

    @Override
    void changed(List<ProjectRun.Row> rows, int row) {
        Platform.runLater {
            if (table.items.size() != rows.size())
                table.items.setAll(rows)
            table.refresh()
            table.scrollTo(Math.max(0, row - 3))
            image.text = Strings.get('project.image', row + 1, rows.size(), rows[row].image)
            numbers.text = ''
        }
    }

    /** The list stays; says what came of it. */
    void end(String text) {
        over = true
        Platform.runLater {
            image.text = text
            what.text = ''
            numbers.text = ''
            bar.progress = 1.0d
            keep.disable = true
            cancel.disable = false
            cancel.text = Strings.get('close')
        }
    }

    @Override
    void stage(String text) {
        Platform.runLater { what.text = text; bar.progress = ProgressBar.INDETERMINATE_PROGRESS }
    }

    /** An image is kept as far as it came, whatever went wrong: nobody is there to be asked. */
    @Override
    boolean keepAfter(Exception reason) {
        true
    }

    @Override
    void progress(int read, int sent, int done, int settled, int total, long nuclei, double seconds) {
        double share = total == 0 ? 1.0d : done / (double) total
        String text = RunWindow.numbers(read, sent, done, settled, total, nuclei, seconds)
        Platform.runLater { bar.progress = share; numbers.text = text }
    }
}
