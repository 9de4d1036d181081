package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.Installer
import java.nio.file.Path
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.TextArea
import javafx.scene.control.TextField
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox
import javafx.stage.Stage
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI

/** Installs the server on this computer and shows what happens. */
@CompileStatic
final class InstallDialog {

    private final QuPathGUI qupath
    private final Stage stage = new Stage()
    private final TextField source = new TextField()
    private final TextArea log = new TextArea()
    private final Label state = new Label(Strings.get('install.hint'))
    private final Button install = new Button(Strings.get('install.install'))
    private Thread worker

    InstallDialog(QuPathGUI qupath) {
        this.qupath = qupath
    }

    /** Shows the window. */
    void show() {
        source.promptText = Strings.get('install.index')
        HBox.setHgrow(source, Priority.ALWAYS)
        def file = new Button(Strings.get('install.file'))
        file.onAction = { source.text = FileChoosers.promptForFile(Strings.get('install.title'),
                FileChoosers.createExtensionFilter(Strings.get('install.wheel'), '.whl'))?.path ?: source.text }
        def folder = new Button(Strings.get('install.folder'))
        folder.onAction = { source.text = FileChoosers.promptForDirectory(Strings.get('install.title'), null)?.path ?: source.text }
        install.onAction = { start() }
        log.editable = false
        log.prefRowCount = 18
        log.prefColumnCount = 80
        state.wrapText = true
        VBox.setVgrow(log, Priority.ALWAYS)
        def content = new VBox(8.0d, state, new HBox(8.0d, new Label(Strings.get('install.from')), source, file, folder, install), log)
        content.padding = new Insets(12)
        stage.title = Strings.get('install.title')
        stage.scene = new Scene(content)
        stage.initOwner(qupath.stage)
        stage.onHidden = { worker?.interrupt() }
        stage.show()
    }

    private void start() {
        install.disable = true
        log.clear()
        String from = source.text?.trim()
        Path folder = Path.of(Preferences.environment.get())
        worker = new Thread({
            String end
            try {
                Path base = Installer.findPython()
                append(Strings.get('install.python', base.toString()))
                // a running server holds its files on some systems
                Connections.stopLocal()
                Installer.install(base, folder, from ? Path.of(from) : null) { String line -> append(line) }
                append(Strings.get('dialog.starting'))
                append(ConnectionDialog.test('', '', ''))
                end = Strings.get('install.done')
            } catch (Exception e) {
                end = e.message ?: e.toString()
            }
            Platform.runLater { state.text = end; install.disable = false; log.appendText(end + '\n') }
        }, 'hemalum-install')
        worker.daemon = true
        worker.start()
    }

    private void append(String line) {
        Platform.runLater { log.appendText(line + '\n') }
    }
}
