package qupath.ext.hemalum

import groovy.transform.CompileStatic

/** Texts that people read, from {@code strings.properties}. */
@CompileStatic
final class Strings {

    private static final ResourceBundle BUNDLE = ResourceBundle.getBundle('qupath.ext.hemalum.strings', Locale.getDefault(),
            Strings.classLoader)

    private Strings() {}

    /**
     * The text of this name.
     *
     * @param name   key of the bundle
     * @param values for its {@code %s} and the like
     */
    static String get(String name, Object... values) {
        String text = BUNDLE.getString(name)
        values.length == 0 ? text : String.format(text, values)
    }

    /** A number as a person types it, with a dot or a comma; null if it is none. */
    static Double number(String text) {
        try {
            Double.valueOf(text.trim().replace(',', '.'))
        } catch (NumberFormatException e) {
            null
        }
    }
}
