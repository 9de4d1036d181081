package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.Endpoint
import hemalum.client.SavedToken
import java.nio.file.Path
import javafx.beans.property.BooleanProperty
import javafx.beans.property.DoubleProperty
import javafx.beans.property.StringProperty
import qupath.lib.gui.panes.PreferencePane
import qupath.lib.gui.prefs.PathPrefs

/** What is remembered between sessions; every key begins with {@code hemalum.}. */
@CompileStatic
final class Preferences {

    static final StringProperty serverAddress = PathPrefs.createPersistentPreference('hemalum.server.address', '')
    static final StringProperty authorityFile = PathPrefs.createPersistentPreference('hemalum.server.authority', '')
    static final StringProperty environment = PathPrefs.createPersistentPreference('hemalum.server.environment',
            Path.of(System.getProperty('user.home'), 'QuPath', 'hemalum-server').toString())
    /** Where folders of this computer lie for the server: {@code here=there}, separated by semicolons. */
    static final StringProperty sharedFolders = PathPrefs.createPersistentPreference('hemalum.server.folders', '')
    static final BooleanProperty saveToken = PathPrefs.createPersistentPreference('hemalum.server.token.save', false)

    static final StringProperty model = PathPrefs.createPersistentPreference('hemalum.model', '')
    static final StringProperty where = PathPrefs.createPersistentPreference('hemalum.where', 'SELECTED')
    static final DoubleProperty probability = PathPrefs.createPersistentPreference('hemalum.probability', -1.0d)
    static final StringProperty stain = PathPrefs.createPersistentPreference('hemalum.stain', '')
    static final BooleanProperty measure = PathPrefs.createPersistentPreference('hemalum.measure', true)
    static final BooleanProperty cells = PathPrefs.createPersistentPreference('hemalum.cells', false)
    static final DoubleProperty cellExpansion = PathPrefs.createPersistentPreference('hemalum.cells.expansion', 5.0d)
    static final BooleanProperty cellMeasurements = PathPrefs.createPersistentPreference('hemalum.cells.measure', false)
    static final StringProperty className = PathPrefs.createPersistentPreference('hemalum.class', '')
    static final StringProperty encoding = PathPrefs.createPersistentPreference('hemalum.encoding', 'RAW')
    static final BooleanProperty askAgain = PathPrefs.createPersistentPreference('hemalum.ask', true)

    // preferences are plain text on the disk: a token goes there only if the user asks for it
    private static final StringProperty savedToken = PathPrefs.createPersistentPreference('hemalum.server.token', '')
    private static final StringProperty tokenServer = PathPrefs.createPersistentPreference('hemalum.server.token.server', '')
    private static String sessionToken = ''

    /** Image whose stain is the reference, or empty for the built-in one. */
    static final StringProperty reference = PathPrefs.createPersistentPreference('hemalum.stain.reference', '')

    private Preferences() {}

    /** Shows what may be changed without a dialog in QuPath's own window of preferences. */
    static void install(PreferencePane pane) {
        text(pane, serverAddress, 'address')
        text(pane, authorityFile, 'authority')
        text(pane, sharedFolders, 'folders')
        pane.addDirectoryPropertyPreference(environment, Strings.get('preference.environment'), Strings.get('title'), Strings.get('preference.environment.about'))
        text(pane, encoding, 'encoding')
        pane.addPropertyPreference(askAgain, Boolean, Strings.get('preference.ask'), Strings.get('title'), Strings.get('preference.ask.about'))
    }

    private static void text(PreferencePane pane, StringProperty property, String name) {
        pane.addPropertyPreference(property, String, Strings.get('preference.' + name), Strings.get('title'), Strings.get("preference.${name}.about".toString()))
    }

    /** The token of this session, or the saved one. */
    static String token() {
        sessionToken ?: savedToken.get()
    }

    /** The same, for the server that it was entered for; null for every other. */
    static String token(Endpoint server) {
        new SavedToken(tokenServer.get(), token()).to(server)
    }

    /** Keeps a token of the server that is set, for this session and, if asked, beyond. */
    static void setToken(String token, boolean save) {
        sessionToken = token?.trim() ?: ''
        tokenServer.set(serverAddress.get())
        saveToken.set(save)
        savedToken.set(save ? sessionToken : '')
    }

    /** Where the last run looked. */
    static Where lastWhere() {
        Where.values().find { it.name() == where.get() } ?: Where.SELECTED
    }

    /** The settings that a click runs with. */
    static Settings settings() {
        def settings = new Settings(model: model.get() ?: '', stain: stain.get() ?: '', measure: measure.get(), className: className.get(),
                densities: cells.get() && cellMeasurements.get())
        if (probability.get() >= 0)
            settings.probability = probability.get()
        if (cells.get())
            settings.cellExpansion = cellExpansion.get()
        settings.encoding = hemalum.client.SegmentSpec.Encoding.values().find { it.name().equalsIgnoreCase(encoding.get()?.trim()) }
                ?: hemalum.client.SegmentSpec.Encoding.RAW
        settings
    }
}
