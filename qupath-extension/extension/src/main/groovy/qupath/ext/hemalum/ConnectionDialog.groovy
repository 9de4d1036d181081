package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.Endpoint
import hemalum.client.NucleiClient
import hemalum.client.ServerInfo
import hemalum.client.ServiceException
import java.nio.file.Path
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.control.Button
import javafx.scene.control.ButtonType
import javafx.scene.control.CheckBox
import javafx.scene.control.Dialog
import javafx.scene.control.Label
import javafx.scene.control.PasswordField
import javafx.scene.control.TextArea
import javafx.scene.control.TextField
import javafx.scene.layout.GridPane
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI

/** Which server is used, and whether it can be reached. */
@CompileStatic
final class ConnectionDialog {

    private final QuPathGUI qupath
    private final TextField address = new TextField(Preferences.serverAddress.get())
    private final TextField authority = new TextField(Preferences.authorityFile.get())
    private final TextField environment = new TextField(Preferences.environment.get())
    private final TextField folders = new TextField(Preferences.sharedFolders.get())
    private final PasswordField token = new PasswordField()
    private final CheckBox save = new CheckBox(Strings.get('connection.save'))
    private final TextArea report = new TextArea()

    ConnectionDialog(QuPathGUI qupath) {
        this.qupath = qupath
    }

    /** Shows the dialog; {@code changed} is called if the user says yes. */
    void show(Runnable changed) {
        def dialog = new Dialog<ButtonType>()
        dialog.title = Strings.get('connection.title')
        dialog.initOwner(qupath.stage)
        dialog.resizable = true
        dialog.dialogPane.buttonTypes.setAll(ButtonType.OK, ButtonType.CANCEL)
        address.promptText = Strings.get('connection.address.none')
        folders.promptText = Strings.get('connection.folders.none')
        token.text = Preferences.token()
        save.selected = Preferences.saveToken.get()
        report.editable = false
        report.wrapText = true
        report.prefRowCount = 8
        def test = new Button(Strings.get('connection.test'))
        test.onAction = { check(test) }
        def browse = new Button(Strings.get('browse'))
        browse.onAction = {
            def file = FileChoosers.promptForFile(Strings.get('connection.authority'))
            if (file != null)
                authority.text = file.path
        }
        def folder = new Button(Strings.get('browse'))
        folder.onAction = {
            def chosen = FileChoosers.promptForDirectory(Strings.get('connection.environment'), null)
            if (chosen != null)
                environment.text = chosen.path
        }
        def grid = new GridPane()
        grid.hgap = 10
        grid.vgap = 8
        grid.padding = new Insets(10)
        grid.addRow(0, new Label(Strings.get('connection.address')), address)
        grid.addRow(1, new Label(Strings.get('connection.token')), token, save)
        grid.addRow(2, new Label(Strings.get('connection.authority')), authority, browse)
        grid.addRow(3, new Label(Strings.get('connection.environment')), environment, folder)
        grid.addRow(4, new Label(Strings.get('connection.folders')), folders)
        grid.add(test, 1, 5)
        grid.add(report, 0, 6, 3, 1)
        address.prefColumnCount = 30
        dialog.dialogPane.content = grid
        if (dialog.showAndWait().orElse(ButtonType.CANCEL) == ButtonType.OK) {
            store()
            changed?.run()
        }
    }

    private void store() {
        Preferences.serverAddress.set(address.text?.trim() ?: '')
        Preferences.sharedFolders.set(folders.text?.trim() ?: '')
        Preferences.authorityFile.set(authority.text?.trim() ?: '')
        if (environment.text?.trim())
            Preferences.environment.set(environment.text.trim())
        Preferences.setToken(token.text, save.selected)
    }

    private void check(Button test) {
        test.disable = true
        report.text = Strings.get('connection.testing')
        String typed = address.text?.trim(), secret = token.text, file = authority.text?.trim()
        def thread = new Thread({
            String text
            try {
                text = ConnectionDialog.test(typed, secret, file)
            } catch (ServiceException e) {
                text = e.message
            } catch (Exception e) {
                text = e.toString()
            }
            Platform.runLater { report.text = text; test.disable = false }
        }, 'hemalum-test')
        thread.daemon = true
        thread.start()
    }

    /**
     * What a server says about itself, in lines for a person.
     *
     * @param address of the server; empty: the one on this computer, started where it does not run
     * @throws ServiceException that says what is wrong: address, nothing there, not gRPC, TLS, token, version or model
     */
    static String test(String address, String token, String authority) {
        NucleiClient client = address
                ? NucleiClient.connect(Endpoint.parse(address), token, authority ? Path.of(authority) : null, Connections.clientName())
                : Connections.openLocal()
        try {
            ServerInfo info = client.info()
            String wanted = Preferences.model.get() ?: ''
            info.model(wanted)
            def lines = [Strings.get('connection.ok', client.endpoint().toString()), Strings.get('connection.version', info.version(), info.state()),
                         Strings.get('connection.device', info.device() ?: info.state())]
            if (!client.endpoint().tls() && !client.endpoint().loopback())
                lines << Strings.get('connection.plain')
            if (!info.slideFolders().isEmpty())
                lines << Strings.get('connection.shared', info.slideFolders().join(', '))
            info.models().each { lines << Strings.get('connection.model', it.id(), it.version(), it.mpp(), it.licence()) }
            lines.addAll(info.brokenModels())
            return lines.join('\n')
        } finally {
            client.close()
        }
    }
}
