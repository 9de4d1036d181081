package hemalum.rules;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.locationtech.jts.geom.Envelope;
import org.locationtech.jts.geom.Geometry;
import org.locationtech.jts.geom.GeometryFactory;

/** An object of a case; {@code tests/cases/README.md} says what its fields mean. */
final class Thing {

    private static final GeometryFactory MADE = new GeometryFactory();

    final String id;
    private final JsonObject json;
    private final Geometry area;
    private final double x, y;
    Thing parent;

    private Thing(JsonObject json) {
        this.json = json;
        id = json.get("id").getAsString();
        double[] box = numbers(json, "box");
        area = box != null ? MADE.toGeometry(new Envelope(box[0], box[0] + box[2], box[1], box[1] + box[3])) : null;
        double[] at = numbers(json, "at");
        x = at != null ? at[0] : box != null ? box[0] + box[2] / 2 : 0;
        y = at != null ? at[1] : box != null ? box[1] + box[3] / 2 : 0;
    }

    /** The objects of a list by name, and the one that stands for the image. */
    static Map<String, Thing> read(JsonArray list) {
        Map<String, Thing> all = new LinkedHashMap<>();
        JsonObject image = new JsonObject();
        image.addProperty("id", "image");
        image.addProperty("kind", "image");
        all.put("image", new Thing(image));
        for (JsonElement element : list)
            all.put(element.getAsJsonObject().get("id").getAsString(), new Thing(element.getAsJsonObject()));
        for (Thing thing : all.values()) {
            if (!thing.id.equals("image"))
                thing.parent = all.get(thing.text("parent", "image"));
        }
        return all;
    }

    static double[] numbers(JsonObject json, String name) {
        return json.has(name) ? StreamSupport.stream(json.getAsJsonArray(name).spliterator(), false).mapToDouble(JsonElement::getAsDouble).toArray() : null;
    }

    private String text(String name, String otherwise) {
        return json.has(name) ? json.get(name).getAsString() : otherwise;
    }

    private int number(String name) {
        return json.has(name) ? json.get(name).getAsInt() : 0;
    }

    private boolean is(String... kinds) {
        return List.of(kinds).contains(text("kind", "detection"));
    }

    @Override
    public String toString() {
        return id;
    }

    static final View<Thing> VIEW = new View<>() {
        @Override
        public Object id(Thing object) {
            return object.id;
        }

        @Override
        public boolean isRoot(Thing object) {
            return object.is("image");
        }

        @Override
        public boolean isDetection(Thing object) {
            return object.is("detection", "cell");
        }

        @Override
        public boolean isRegion(Thing object) {
            return object.is("annotation", "core", "missing core");
        }

        @Override
        public boolean isCore(Thing object) {
            return object.is("core", "missing core");
        }

        @Override
        public boolean isMissing(Thing object) {
            return object.is("missing core");
        }

        @Override
        public String className(Thing object) {
            return object.text("class", null);
        }

        @Override
        public String metadata(Thing object, String key) {
            JsonObject all = object.json.getAsJsonObject("metadata");
            return all != null && all.has(key) ? all.get(key).getAsString() : null;
        }

        @Override
        public boolean isMeasured(Thing object, String name) {
            JsonObject all = object.json.getAsJsonObject("measurements");
            return all != null && all.has(name);
        }

        @Override
        public int z(Thing object) {
            return object.number("z");
        }

        @Override
        public int t(Thing object) {
            return object.number("t");
        }

        @Override
        public double x(Thing object) {
            return object.x;
        }

        @Override
        public double y(Thing object) {
            return object.y;
        }

        @Override
        public Thing parent(Thing object) {
            return object.parent;
        }

        @Override
        public Geometry area(Thing object) {
            return object.area;
        }
    };
}
