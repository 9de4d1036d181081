package qupath.ext.hemalum

import groovy.transform.CompileStatic
import javafx.scene.control.Button
import javafx.scene.control.CheckMenuItem
import javafx.scene.control.Menu
import javafx.scene.control.MenuItem
import javafx.scene.control.SeparatorMenuItem
import javafx.scene.control.Tooltip
import javafx.scene.input.KeyCombination
import qupath.lib.common.Version
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.extensions.QuPathExtension

/** What QuPath loads: the menu <i>Extensions › Hemalum</i> and a button in the toolbar. */
@CompileStatic
final class HemalumExtension implements QuPathExtension {

    private boolean installed

    @Override
    void installExtension(QuPathGUI qupath) {
        if (installed)
            return
        installed = true
        def segment = new SegmentCommand(qupath)
        def stain = new StainView(qupath)
        def correct = new MoreCommands(qupath)
        def painting = new CheckMenuItem(Strings.get('menu.stain.toggle'))
        painting.accelerator = KeyCombination.valueOf('shortcut+alt+V')
        painting.selectedProperty().bindBidirectional(stain.painting)
        Menu menu = qupath.getMenu(Strings.get('menu'), true)
        menu.items.addAll(
                item('menu.segment', 'shortcut+alt+N') { segment.ask() },
                item('menu.again', 'shortcut+alt+shift+N') { segment.again() },
                item('menu.restore', null) { segment.restore() },
                item('menu.project', null) { segment.project() },
                new SeparatorMenuItem(),
                item('menu.correct', null) { correct.correct() },
                item('menu.correct.done', null) { correct.corrected() },
                item('menu.export', null) { correct.export() },
                new SeparatorMenuItem(),
                item('menu.stain', null) { stain.show() },
                painting,
                item('menu.stain.thumbnail', null) { stain.setThumbnail() },
                item('menu.stain.reset', null) { stain.resetThumbnail() },
                new SeparatorMenuItem(),
                item('menu.connection', null) { new ConnectionDialog(qupath).show(null) },
                item('menu.install', null) { new InstallDialog(qupath).show() })
        def button = new Button(Strings.get('button'))
        button.tooltip = new Tooltip(Strings.get('button.tip'))
        button.onAction = { segment.click() }
        qupath.toolBar?.items?.add(button)
        Preferences.install(qupath.preferencePane)
    }

    // present in QuPath 0.7 only, so without @Override
    void installHeadless() {}

    @Override
    String getName() {
        'Hemalum'
    }

    @Override
    String getDescription() {
        Strings.get('description')
    }

    @Override
    Version getQuPathVersion() {
        Version.parse('0.6.0')
    }

    private static MenuItem item(String text, String keys, Runnable action) {
        def item = new MenuItem(Strings.get(text))
        item.onAction = { action.run() }
        if (keys != null)
            item.accelerator = KeyCombination.valueOf(keys)
        item
    }
}
