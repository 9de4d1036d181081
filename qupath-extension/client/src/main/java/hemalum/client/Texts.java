package hemalum.client;

import java.util.Locale;
import java.util.ResourceBundle;

/**
 * What people read, from {@code sentences.properties}, in the language of the user interface where there is one for it.
 */
final class Texts {

    private static final String BUNDLE = "hemalum.client.sentences";
    // a language that is not there becomes English, not the system's
    private static final ResourceBundle.Control DIRECT =
            ResourceBundle.Control.getNoFallbackControl(ResourceBundle.Control.FORMAT_PROPERTIES);

    private Texts() {}

    /**
     * The text of this name.
     *
     * @param name   key of the bundle
     * @param values for its {@code %s} and the like
     */
    static String get(String name, Object... values) {
        String text = bundle(Locale.getDefault(Locale.Category.DISPLAY)).getString(name);
        return values.length == 0 ? text : String.format(text, values);
    }

    static ResourceBundle bundle(Locale locale) {
        return ResourceBundle.getBundle(BUNDLE, locale, Texts.class.getClassLoader(), DIRECT);
    }
}
