package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class FoundNucleiTest {

    /** The example of {@code hemalum.nuclei}, twice, the second one 100 px to the right. */
    private static hemalum.v1.FoundNuclei.Builder two() {
        return hemalum.v1.FoundNuclei.newBuilder()
                .addAllVertexCounts(List.of(4, 4)).addAllDeltas(List.of(0, 0, 8, 0, 0, 8, -8, 0, 800, -8, 8, 0, 0, 8,
                -8, 0))
                .addAllProbability(List.of(0.5f, 1f)).addAllCentroids(List.of(0.5, 0.5, 100.5, 0.5))
                .addAllTiles(List.of(0, 1))
                .setIds(ByteString.fromHex("6aa5d63e7c6c5b219a7228a8b4ebd7ed00000000000050008000000000000001"))
                .addMeasurements(hemalum.v1.Column.newBuilder().setName("Area µm²").addAllValues(List.of(1f, 2f)));
    }

    @Test
    void outlinesAreTheServers() {
        FoundNuclei nuclei = FoundNuclei.of(two().build());
        assertEquals(2, nuclei.size());
        assertArrayEquals(new double[] {0, 1, 1, 0}, nuclei.xs(0));
        assertArrayEquals(new double[] {0, 0, 1, 1}, nuclei.ys(0));
        assertArrayEquals(new double[] {100, 101, 101, 100}, nuclei.xs(1));
        assertArrayEquals(new double[] {0, 0, 1, 1}, nuclei.ys(1));
        assertEquals(UUID.fromString("6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed"), nuclei.ids()[0]);
        assertEquals(2f, nuclei.measurements()[0][1]);
    }

    @Test
    void equalsPythonToTheBit() throws Exception {
        JsonObject golden = JsonParser.parseString(Files.readString(Path.of(System.getProperty("hemalum.root"), "tests",
                "data", "nuclei_message.json")))
                .getAsJsonObject();
        FoundNuclei nuclei = FoundNuclei.of(hemalum.v1.FoundNuclei.parseFrom(Base64.getDecoder()
                .decode(golden.get("message").getAsString())));
        var rings = golden.getAsJsonArray("eighths");
        assertEquals(rings.size(), nuclei.size());
        for (int i = 0; i < nuclei.size(); i++) {
            var ring = rings.get(i).getAsJsonArray();
            double[] xs = nuclei.xs(i), ys = nuclei.ys(i);
            assertEquals(ring.size(), 2 * xs.length);
            for (int k = 0; k < xs.length; k++) {
                assertEquals(ring.get(2 * k).getAsInt() / 8.0, xs[k]);
                assertEquals(ring.get(2 * k + 1).getAsInt() / 8.0, ys[k]);
            }
            assertEquals(golden.getAsJsonArray("ids").get(i).getAsString(), nuclei.ids()[i].toString());
            assertEquals(golden.getAsJsonArray("centroids").get(2 * i).getAsDouble(), nuclei.centroids()[2 * i]);
            assertEquals(golden.getAsJsonArray("areas").get(i).getAsFloat(), nuclei.measurements()[0][i]);
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        assertThrows(ServiceException.class, () -> FoundNuclei.of(two().addDeltas(1).build()));
        assertThrows(ServiceException.class, () -> FoundNuclei.of(two().setVertexCounts(0, 2).build()));
        assertThrows(ServiceException.class, () -> FoundNuclei.of(two().addProbability(1).build()));
        assertThrows(ServiceException.class, () -> FoundNuclei.of(two().setIds(ByteString.EMPTY).build()));
    }
}
