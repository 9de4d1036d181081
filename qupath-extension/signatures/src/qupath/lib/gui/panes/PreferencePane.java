package qupath.lib.gui.panes;

import javafx.beans.property.Property;

/** Signatures only: what the extension calls. */
public class PreferencePane {
    public void addDirectoryPropertyPreference(Property<String> a, String b, String c, String d) {
        throw new UnsupportedOperationException();
    }
    public <T> void addPropertyPreference(Property<T> a, Class<? extends T> b, String c, String d, String e) {
        throw new UnsupportedOperationException();
    }
}
