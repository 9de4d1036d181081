package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.NucleiClient
import hemalum.client.ServerInfo
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Node
import javafx.scene.control.Button
import javafx.scene.control.ButtonBar
import javafx.scene.control.ButtonType
import javafx.scene.control.CheckBox
import javafx.scene.control.ComboBox
import javafx.scene.control.Dialog
import javafx.scene.control.Label
import javafx.scene.control.Slider
import javafx.scene.control.Spinner
import javafx.scene.control.TextField
import javafx.scene.layout.GridPane
import javafx.scene.layout.Region
import qupath.lib.gui.QuPathGUI

/** Asks what to segment and how; remembers it. */
@CompileStatic
final class SegmentDialog {

    /** What happens when the user says yes. */
    @CompileStatic
    interface Action {
        void run(Settings settings, Where where)
    }

    private final QuPathGUI qupath
    private final Dialog<ButtonType> dialog = new Dialog<>()
    private final ComboBox<String> model = new ComboBox<>()
    private final ComboBox<Where> where = new ComboBox<>()
    private final ComboBox<String> stain = new ComboBox<>()
    private final Label card = new Label(Strings.get('dialog.connecting')), probabilityText = new Label()
    private final CheckBox asCard = new CheckBox(Strings.get('dialog.probability.card'))
    private final Slider probability = new Slider(0.05d, 0.95d, 0.5d)
    private final CheckBox measure = new CheckBox(Strings.get('dialog.measure'))
    private final CheckBox cells = new CheckBox(Strings.get('dialog.cells'))
    private final CheckBox cellMeasurements = new CheckBox(Strings.get('dialog.cells.measure'))
    private final Spinner<Double> expansion = new Spinner<>(0.5d, 30.0d, Preferences.cellExpansion.get(), 0.5d)
    private final TextField className = new TextField(Preferences.className.get())
    private final CheckBox askAgain = new CheckBox(Strings.get('dialog.again'))
    private final Button connection = new Button(Strings.get('dialog.connection'))
    private ServerInfo info
    /** Who asks the server; another, or nobody, once its answers are not wanted any more. */
    private volatile Thread asking

    SegmentDialog(QuPathGUI qupath) {
        this.qupath = qupath
    }

    /** Shows the dialog and, if the user says yes, calls {@code action} on the user interface's thread. */
    void show(Action action) {
        def run = new ButtonType(Strings.get('dialog.run'), ButtonBar.ButtonData.OK_DONE)
        dialog.title = Strings.get('title')
        dialog.initOwner(qupath.stage)
        dialog.resizable = true
        dialog.dialogPane.buttonTypes.setAll(run, ButtonType.CANCEL)
        dialog.dialogPane.content = content()
        connection.onAction = { new ConnectionDialog(qupath).show { connect() } }
        model.valueProperty().addListener({ observable, old, now -> describe() } as javafx.beans.value.ChangeListener<String>)
        connect()
        def answer = dialog.showAndWait().orElse(ButtonType.CANCEL)
        asking = null
        if (answer == run) {
            save()
            action.run(Preferences.settings(), where.value)
        }
    }

    private Node content() {
        where.items.setAll(Where.values().findAll { it != Where.PROJECT || qupath.project != null })
        where.value = where.items.contains(Preferences.lastWhere()) ? Preferences.lastWhere() : Where.SELECTED
        stain.items.setAll('macenko', 'vahadane', 'reinhard', 'none')
        stain.value = Preferences.stain.get() ?: 'macenko'
        asCard.selected = Preferences.probability.get() < 0
        probability.value = Preferences.probability.get() < 0 ? 0.5d : Preferences.probability.get()
        probability.disableProperty().bind(asCard.selectedProperty())
        probabilityText.textProperty().bind(probability.valueProperty().asString('%.2f'))
        measure.selected = Preferences.measure.get()
        cells.selected = Preferences.cells.get()
        cellMeasurements.selected = Preferences.cellMeasurements.get()
        expansion.editable = true
        // what is typed counts without Enter, with a dot or a comma
        expansion.editor.focusedProperty().addListener({ observable, old, now ->
            Double typed = Strings.number(expansion.editor.text)
            if (!now && typed != null)
                expansion.valueFactory.value = Math.max(0.5d, Math.min(30.0d, typed))
        } as javafx.beans.value.ChangeListener<Boolean>)
        expansion.valueFactory.converter = new javafx.util.StringConverter<Double>() {
            @Override
            String toString(Double value) { value?.toString() ?: '' }

            @Override
            Double fromString(String text) { Strings.number(text) ?: Preferences.cellExpansion.get() }
        }
        expansion.disableProperty().bind(cells.selectedProperty().not())
        cellMeasurements.disableProperty().bind(cells.selectedProperty().not())
        className.promptText = Strings.get('dialog.class.none')
        askAgain.selected = !Preferences.askAgain.get()
        card.wrapText = true
        // room from the start: the text comes when the dialog is already shown
        card.prefWidth = 420
        card.minHeight = 160
        askAgain.minWidth = Region.USE_PREF_SIZE
        model.maxWidth = Double.MAX_VALUE
        def grid = new GridPane()
        grid.hgap = 10
        grid.vgap = 8
        grid.padding = new Insets(10)
        int row = 0
        grid.add(new Label(Strings.get('dialog.model')), 0, row)
        grid.add(model, 1, row)
        grid.add(connection, 2, row++)
        grid.add(card, 1, row++, 2, 1)
        grid.add(new Label(Strings.get('dialog.where')), 0, row)
        grid.add(where, 1, row++, 2, 1)
        grid.add(new Label(Strings.get('dialog.probability')), 0, row)
        grid.add(asCard, 1, row++, 2, 1)
        grid.add(probability, 1, row)
        grid.add(probabilityText, 2, row++)
        grid.add(new Label(Strings.get('dialog.stain')), 0, row)
        grid.add(stain, 1, row++)
        grid.add(measure, 1, row++, 2, 1)
        grid.add(cells, 1, row)
        grid.add(expansion, 2, row++)
        grid.add(cellMeasurements, 1, row++, 2, 1)
        grid.add(new Label(Strings.get('dialog.class')), 0, row)
        grid.add(className, 1, row++, 2, 1)
        grid.add(askAgain, 1, row++, 2, 1)
        grid.add(new Label(Strings.get('research')), 0, row, 3, 1)
        grid
    }

    /** Asks the server for its models, beside the user interface, and on until it has loaded: only then it knows its device. */
    private void connect() {
        card.text = Strings.get(Connections.isLocal(new Settings()) ? 'dialog.starting' : 'dialog.connecting')
        def thread = new Thread({
            try {
                NucleiClient client = Connections.open(new Settings())
                try {
                    ServerInfo answer = client.info()
                    tell { connected(answer) }
                    while (!answer.ready() && asking == Thread.currentThread()) {
                        Thread.sleep(1000)
                        ServerInfo now = answer = client.info()
                        tell { info = now; describe() }
                    }
                } finally {
                    client.close()
                }
            } catch (Exception e) {
                tell { card.text = e.message }
            }
        }, 'hemalum-info')
        thread.daemon = true
        asking = thread
        thread.start()
    }

    /** Does something on the user interface's thread, if the answers of this thread are still wanted. */
    private void tell(Runnable change) {
        def thread = Thread.currentThread()
        Platform.runLater { if (asking == thread) change.run() }
    }

    private void connected(ServerInfo answer) {
        info = answer
        String wanted = Preferences.model.get() ?: answer.defaultModel()
        model.items.setAll(answer.models()*.id())
        model.value = [wanted, answer.defaultModel()].find { model.items.contains(it) } ?: model.items.find()
        if (!answer.stains().isEmpty()) {
            String method = stain.value
            stain.items.setAll(answer.stains())
            stain.value = answer.stains().contains(method) ? method : answer.stains().first()
        }
        describe()
    }

    private void describe() {
        def chosen = info?.models()?.find { it.id() == model.value }
        if (chosen != null)
            card.text = Strings.get('dialog.card', chosen.description(), chosen.version(), chosen.mpp(), chosen.licence(),
                    Strings.get(chosen.commercial() ? 'dialog.commercial' : 'dialog.noncommercial'), scores(chosen), info.device() ?: info.state())
    }

    private static String scores(ServerInfo.ModelInfo chosen) {
        def scores = chosen.scores()
        scores.isEmpty() ? '' : Strings.get('dialog.scores', scores.collect { Strings.get('dialog.score', it.name(), it.measure(), it.value()) }.join(', '))
    }

    private void save() {
        if (model.value != null)
            Preferences.model.set(model.value)
        Preferences.where.set(where.value.name())
        Preferences.probability.set(asCard.selected ? -1.0d : Math.round(100 * probability.value) / 100.0d)
        Preferences.stain.set(stain.value ?: '')
        Preferences.measure.set(measure.selected)
        Preferences.cells.set(cells.selected)
        Preferences.cellExpansion.set(expansion.value)
        Preferences.cellMeasurements.set(cellMeasurements.selected)
        Preferences.className.set(className.text?.trim() ?: '')
        Preferences.askAgain.set(!askAgain.selected)
    }
}
