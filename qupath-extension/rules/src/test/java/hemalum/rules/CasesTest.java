package hemalum.rules;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every row of {@code tests/cases/touch.json}, {@code back.json} and {@code correct.json}. */
class CasesTest {

    private static final Path CASES = Path.of(System.getProperty("hemalum.cases"));

    private record Points(JsonArray list) implements Found {
        @Override
        public int size() {
            return list.size();
        }

        @Override
        public Object id(int i) {
            return list.get(i).getAsJsonObject().get("id").getAsString();
        }

        @Override
        public double x(int i) {
            return Thing.numbers(list.get(i).getAsJsonObject(), "at")[0];
        }

        @Override
        public double y(int i) {
            return Thing.numbers(list.get(i).getAsJsonObject(), "at")[1];
        }
    }

    private interface Check {
        void check(JsonObject row);
    }

    private static Stream<DynamicTest> rows(String file, Check check) throws Exception {
        JsonArray rows = JsonParser.parseString(Files.readString(CASES.resolve(file))).getAsJsonArray();
        assertTrue(rows.size() > 2);
        return StreamSupport.stream(rows.spliterator(), false).map(JsonElement::getAsJsonObject)
                .map(row -> DynamicTest.dynamicTest(row.get("case").getAsString(), () -> check.check(row)));
    }

    @TestFactory
    Stream<DynamicTest> touch() throws Exception {
        return rows("touch.json", row -> {
            Map<String, Thing> before = Thing.read(array(row, "objects"));
            JsonObject expected = row.getAsJsonObject("expect");
            double[] size = row.has("size") ? Thing.numbers(row, "size") : new double[] {1000, 1000};
            List<Choice<Thing>> choices = row.has("chosen")
                    ? List.of(Choice.of(Thing.VIEW, chosen(row, before), size[0], size[1]))
                    : Choice.ofImage(Thing.VIEW, before.get("image"), before.values(), size[0], size[1]);
            Choice<Thing> choice = choices.get(0);
            assertEquals(expected.has("refused") ? expected.get("refused").getAsString() : null,
                    choice.refused() == null ? null : choice.refused().name(), "refused");
            if (expected.has("left"))
                assertEquals(expected.get("left").getAsInt(), choice.left(), "left");
            if (expected.has("regions"))
                assertEquals(names(expected, "regions"), new TreeSet<>(choices.stream().flatMap(it -> it.regions().stream()).map(it -> it.id).toList()), "regions");
            if (!row.has("found"))
                return;
            var regions = Replacement.Run.regions(Thing.VIEW, choice.regions());
            Thing first = choice.regions().get(0);
            int z = choice.whole() ? 0 : Thing.VIEW.z(first), t = choice.whole() ? 0 : Thing.VIEW.t(first);
            List<double[]> unsettled = new ArrayList<>();
            array(row, "unsettled").forEach(box -> unsettled.add(StreamSupport.stream(box.getAsJsonArray().spliterator(), false).mapToDouble(JsonElement::getAsDouble).toArray()));
            Map<String, Thing> now = row.has("at the end") ? Thing.read(array(row, "at the end")) : before;
            Points found = new Points(array(row, "found"));
            compare(expected, found, Replacement.of(Thing.VIEW, now.get("image"), now.values(), new Replacement.Run(regions, z, t, unsettled), found));
        });
    }

    @TestFactory
    Stream<DynamicTest> back() throws Exception {
        return rows("back.json", row -> {
            Map<String, Thing> now = Thing.read(array(row, "objects"));
            Points back = new Points(array(row, "back"));
            List<Object> parents = new ArrayList<>();
            array(row, "back").forEach(it -> parents.add(it.getAsJsonObject().has("parent") ? it.getAsJsonObject().get("parent").getAsString() : "image"));
            compare(row.getAsJsonObject("expect"), back, Replacement.back(Thing.VIEW, now.get("image"), now.values(), 0, 0,
                    new HashSet<>(names(row, "out")), back, parents));
        });
    }

    @TestFactory
    Stream<DynamicTest> correct() throws Exception {
        return rows("correct.json", row -> {
            Map<String, Thing> before = Thing.read(array(row, "objects"));
            Thing region = before.get(row.get("region").getAsString());
            JsonObject expected = row.getAsJsonObject("expect");
            Set<String> editable = ids(Correcting.begin(Thing.VIEW, region, before.values()));
            Set<String> others = ids(Correcting.others(Thing.VIEW, region, before.values()));
            assertEquals(names(expected, "editable"), editable);
            if (!row.has("at the end"))
                return;
            Map<String, Thing> now = Thing.read(array(row, "at the end"));
            var done = Correcting.done(Thing.VIEW, now.get(region.id), now.values(), editable, others, row.get("longest").getAsDouble());
            assertEquals(names(expected, "nuclei"), ids(done.nuclei()));
            assertEquals(names(expected, "large"), ids(done.large()));
        });
    }

    private static void compare(JsonObject expected, Points found, Replacement<Thing> made) {
        assertEquals(names(expected, "removed"), ids(made.removed()), "removed");
        Map<String, String> homes = new TreeMap<>(), wanted = new TreeMap<>();
        for (int i = 0; i < found.size(); i++) {
            if (made.homes().get(i) != null)
                homes.put((String) found.id(i), made.homes().get(i).id);
        }
        expected.getAsJsonObject("put").entrySet().forEach(it -> wanted.put(it.getKey(), it.getValue().getAsString()));
        assertEquals(wanted, homes, "put");
        Map<String, Integer> counts = new TreeMap<>(), said = new TreeMap<>();
        made.counts().forEach((what, n) -> counts.put(what.name(), n));
        counts.remove("PUT");
        if (expected.has("said"))
            expected.getAsJsonObject("said").entrySet().forEach(it -> said.put(it.getKey(), it.getValue().getAsInt()));
        assertEquals(said, counts, "said");
    }

    /** Named objects, or boxes that are part of nothing, as what a viewer shows. */
    private static List<Thing> chosen(JsonObject row, Map<String, Thing> known) {
        List<Thing> chosen = new ArrayList<>();
        for (JsonElement one : array(row, "chosen")) {
            if (one.isJsonObject()) {
                JsonArray alone = new JsonArray();
                alone.add(one);
                Thing made = Thing.read(alone).get(one.getAsJsonObject().get("id").getAsString());
                made.parent = null;
                chosen.add(made);
            } else {
                chosen.add(known.get(one.getAsString()));
            }
        }
        return chosen;
    }

    private static JsonArray array(JsonObject row, String name) {
        return row.has(name) ? row.getAsJsonArray(name) : new JsonArray();
    }

    private static Set<String> names(JsonObject row, String name) {
        Set<String> names = new TreeSet<>();
        array(row, name).forEach(it -> names.add(it.getAsString()));
        return names;
    }

    private static Set<String> ids(List<Thing> things) {
        Set<String> names = new TreeSet<>();
        things.forEach(it -> names.add(it.id));
        return names;
    }
}
