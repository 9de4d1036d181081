package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.MissingResourceException;
import java.util.ResourceBundle;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Every language says the same, and all that is said is there. */
class TextsTest {

    private static final Pattern PLACE = Pattern.compile("%(?:(\\d+)\\$)?([a-z])");
    private static final Path SOURCES =
            PythonServer.ROOT.resolve("qupath-extension/client/src/main/java/hemalum/client");

    /** The kinds of values that a text takes, in the order of the call. */
    private static List<String> places(String text) {
        int[] next = {0};
        return PLACE.matcher(text).results()
                .map(place -> (place.group(1) == null ? ++next[0] : Integer.parseInt(place.group(1))) + place.group(2))
                .sorted().toList();
    }

    @Test
    void chineseHasTheSameKeysAndPlaces() {
        ResourceBundle english = Texts.bundle(Locale.ROOT), chinese = Texts.bundle(Locale.SIMPLIFIED_CHINESE);
        assertEquals(Locale.CHINESE, chinese.getLocale());
        for (String key : english.keySet()) {
            String here = english.getString(key), there = chinese.getString(key);
            assertEquals(places(here), places(there), key);
            // what is missing in a bundle comes from its parent
            assertFalse(here.equals(there), key + " is not translated");
            assertTrue(there.codePoints().anyMatch(c -> Character.UnicodeScript.of(c) == Character.UnicodeScript.HAN),
                    there);
        }
        assertEquals(english.keySet(), chinese.keySet());
    }

    @Test
    void anotherLanguageIsEnglishWhateverTheSystemSpeaks() {
        Locale system = Locale.getDefault(), display = Locale.getDefault(Locale.Category.DISPLAY);
        try {
            Locale.setDefault(Locale.SIMPLIFIED_CHINESE);
            assertEquals("已取消。", Texts.get("cancelled"));
            Locale.setDefault(Locale.Category.DISPLAY, Locale.FRENCH);
            assertEquals("Cancelled.", Texts.get("cancelled"));
        } finally {
            Locale.setDefault(system);
            Locale.setDefault(Locale.Category.DISPLAY, display);
        }
    }

    @Test
    void everyTextIsSaidSomewhereAndNoneIsMissing() throws Exception {
        ResourceBundle english = Texts.bundle(Locale.ROOT);
        StringBuilder code = new StringBuilder();
        try (Stream<Path> files = Files.list(SOURCES)) {
            for (Path file : files.toList())
                code.append(Files.readString(file));
        }
        for (String key : new TreeSet<>(english.keySet()))
            assertTrue(code.indexOf('"' + key + '"') >= 0, key + " is never said");
        Matcher said = Pattern.compile("Texts\\.get\\(\"([a-z.]+)\"").matcher(code);
        while (said.find()) {
            try {
                english.getString(said.group(1));
            } catch (MissingResourceException e) {
                throw new AssertionError(said.group(1) + " is not in the bundle", e);
            }
        }
        Matcher made = Pattern.compile("make\\(Kind\\.[A-Z_]+, failure, \"([a-z.]+)\"").matcher(code);
        while (made.find())
            assertTrue(english.containsKey(made.group(1)), made.group(1));
    }
}
