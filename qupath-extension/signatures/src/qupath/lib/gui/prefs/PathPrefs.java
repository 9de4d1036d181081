package qupath.lib.gui.prefs;

import javafx.beans.property.BooleanProperty;
import javafx.beans.property.DoubleProperty;
import javafx.beans.property.StringProperty;

/** Signatures only: what the extension calls. */
public class PathPrefs {
    public static DoubleProperty createPersistentPreference(String a, double b) {
        throw new UnsupportedOperationException();
    }
    public static StringProperty createPersistentPreference(String a, String b) {
        throw new UnsupportedOperationException();
    }
    public static BooleanProperty createPersistentPreference(String a, boolean b) {
        throw new UnsupportedOperationException();
    }

    protected PathPrefs() {}
}
