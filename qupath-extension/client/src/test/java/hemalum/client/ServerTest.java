package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import hemalum.client.ServiceException.Kind;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Against the real server, started as a child. Every failure is provoked, none is imitated. */
@Timeout(value = 15, unit = TimeUnit.MINUTES) // only against hanging: a busy machine is no failure
class ServerTest {

    /** How long a server may take to start, seconds. */
    private static final int PATIENCE = 600;

    @TempDir
    static Path folder;
    static Path models;
    static LocalServer server;

    @BeforeAll
    static void start() throws Exception {
        models = PythonServer.toyModels(folder.resolve("models"));
        server = LocalServer.start(PythonServer.python(), List.of("--models", models.toString()), PATIENCE,
                line -> { });
    }

    @AfterAll
    static void stop() {
        if (server != null)
            server.close();
    }

    private static NucleiClient client() {
        return NucleiClient.connect(server.endpoint(), server.token(), null, "client test");
    }

    private static SegmentSpec spec(Blobs blobs) {
        return new SegmentSpec("toy", blobs.image(), List.of(), null, null, null, "", null, true, true,
                SegmentSpec.Encoding.RAW, null);
    }

    private static Kind kind(Endpoint endpoint, String token, Path authority) {
        try (NucleiClient client = NucleiClient.connect(endpoint, token, authority, "client test")) {
            ServiceException failure = assertThrows(ServiceException.class, client::info);
            assertTrue(failure.getMessage().endsWith("."), failure.getMessage());
            assertFalse(failure.getMessage().contains("Exception"), failure.getMessage());
            return failure.kind();
        }
    }

    @Test
    void saysWhatItIs() {
        try (NucleiClient client = client()) {
            ServerInfo info = client.info();
            assertEquals("toy", info.model("toy").id());
            assertEquals(Kind.MODEL_MISSING, assertThrows(ServiceException.class, () -> info.model("nobody")).kind());
            assertTrue(info.overviewSide() >= 1024);
        }
    }

    /** What a run gave, in an order that does not depend on that of the tiles. */
    private static List<String> nuclei(NucleiClient client, SegmentSpec spec, Blobs blobs) {
        List<FoundNuclei> batches = Collections.synchronizedList(new ArrayList<>());
        RunSummary summary = client.segment(spec, blobs, new RunListener() {
            @Override
            public void nuclei(FoundNuclei nuclei) {
                batches.add(nuclei);
            }
        }, new RunControl());
        assertTrue(summary.complete(), summary.toString());
        List<String> all = new ArrayList<>();
        for (FoundNuclei batch : batches)
            for (int i = 0; i < batch.size(); i++)
                all.add(batch.ids()[i] + " " + java.util.Arrays.toString(batch.xs(i))
                        + java.util.Arrays.toString(batch.ys(i)));
        assertEquals(summary.nuclei(), all.size());
        Collections.sort(all);
        return all;
    }

    @Test
    void orderOfTilesAndWayOfPixelsChangeNothing() {
        Blobs blobs = new Blobs(4800, 3600);
        try (NucleiClient client = client()) {
            List<String> plain = nuclei(client, spec(blobs), blobs);
            assertEquals(80 * 60, plain.size());
            SegmentSpec other = new SegmentSpec("toy", blobs.image(), List.of(), null, null, null, "", null, true, true,
                    SegmentSpec.Encoding.PNG, new double[] {4700, 3500});
            assertEquals(plain, nuclei(client, other, blobs));
        }
    }

    @Test
    void creditsBoundWhatIsUnderWay() {
        Blobs blobs = new Blobs(6000, 6000);
        int[] credits = new int[1];
        try (NucleiClient client = client()) {
            client.segment(spec(blobs), blobs, new RunListener() {
                @Override
                public void opened(Opened plan) {
                    credits[0] = plan.credits();
                }
            }, new RunControl());
        }
        assertTrue(blobs.most.get() <= credits[0], blobs.most + " read at once, " + credits[0] + " credits");
    }

    @Test
    void regionsBoundTheNuclei() {
        Blobs blobs = new Blobs(3000, 3000);
        double[] square = {300, 300, 900, 300, 900, 900, 300, 900};
        SegmentSpec spec = new SegmentSpec("toy", blobs.image(), List.of(List.of(square)), null, null, null, "", null,
                false, true, SegmentSpec.Encoding.RAW, null);
        try (NucleiClient client = client()) {
            assertEquals(100, nuclei(client, spec, blobs).size());
        }
    }

    @Test
    void clumpsAreSplitAsFarAsIsWanted() {
        Blobs pairs = new Blobs(600, 600);
        pairs.apart = 24;
        try (NucleiClient client = client()) {
            for (double part : new double[] {0, 2}) {
                SegmentSpec spec = new SegmentSpec("toy", pairs.image(), List.of(), null, null, part, "", null, false,
                        true, SegmentSpec.Encoding.RAW, null);
                assertEquals(part == 0 ? 100 : 200, nuclei(client, spec, pairs).size());
            }
        }
    }

    @Test
    void aTileThatCannotBeReadIsCounted() {
        Blobs blobs = new Blobs(6000, 3000);
        blobs.brokenAt = 1;
        Set<Integer> failed = new TreeSet<>();
        try (NucleiClient client = client()) {
            RunSummary summary = client.segment(spec(blobs), blobs, new RunListener() {
                @Override
                public void failed(int index, String reason) {
                    failed.add(index);
                }
            }, new RunControl());
            assertEquals(1, summary.failed().size());
            assertTrue(summary.failed().values().iterator().next().contains("the disk is broken"), summary.toString());
            assertEquals(summary.failed().keySet(), failed);
            assertFalse(summary.complete());
        }
    }

    @Test
    void aSlideThatTheServerReadsItselfGivesTheSameNuclei() throws Exception {
        Blobs blobs = new Blobs(2600, 1900);
        Path slides = java.nio.file.Files.createDirectories(folder.resolve("slides"));
        javax.imageio.ImageIO.write(blobs.picture(), "png", slides.resolve("blobs.png").toFile());
        String identity = blobs.overview(2048).identity(2600, 1900);
        try (LocalServer reads = LocalServer.start(PythonServer.python(),
                List.of("--models", models.toString(), "--slides", slides.toString()), PATIENCE, line -> { });
             NucleiClient client = NucleiClient.connect(reads.endpoint(), reads.token(), null, "client test")) {
            assertEquals(List.of(slides.toRealPath().toString()), client.info().slideFolders());
            List<String> sent = nuclei(client, spec(blobs), blobs);
            List<String> there = Collections.synchronizedList(new ArrayList<>());
            RunSummary summary = client.segmentSlide(spec(blobs), "blobs.png", identity, new RunListener() {
                @Override
                public void nuclei(FoundNuclei found) {
                    for (int i = 0; i < found.size(); i++)
                        there.add(found.ids()[i] + " " + java.util.Arrays.toString(found.xs(i))
                                + java.util.Arrays.toString(found.ys(i)));
                }
            }, new RunControl());
            assertTrue(summary.complete());
            Collections.sort(there);
            assertEquals(sent, there);
            for (String[] wrong : new String[][] {{"blobs.png", "another"}, {"nowhere.png", identity}})
                assertEquals(Kind.REFUSED, assertThrows(ServiceException.class,
                        () -> client.segmentSlide(spec(blobs), wrong[0], wrong[1], new RunListener() { },
                        new RunControl())).kind());
        }
    }

    @Test
    void stoppingKeepsWhatIsFinished() {
        Blobs blobs = new Blobs(12000, 8000);
        RunControl control = new RunControl();
        List<UUID> found = Collections.synchronizedList(new ArrayList<>());
        try (NucleiClient client = client()) {
            RunSummary summary = client.segment(spec(blobs), blobs, new RunListener() {
                @Override
                public void nuclei(FoundNuclei nuclei) {
                    found.addAll(List.of(nuclei.ids()));
                    control.stop();
                }
            }, control);
            assertTrue(summary.stopped());
            assertEquals(summary.nuclei(), found.size());
            assertTrue(!found.isEmpty() && found.size() < 200 * 133, found.size() + " nuclei");
            assertFalse(summary.failed().isEmpty());
        }
    }

    @Test
    void twentyCancelsLeaveNothingBehind() throws Exception {
        Blobs blobs = new Blobs(12000, 8000);
        blobs.delayMs = 20;
        for (int i = 0; i < 20; i++) {
            RunControl control = new RunControl();
            try (NucleiClient client = client()) {
                Thread later = new Thread(() -> {
                    try {
                        Thread.sleep(50);
                    } catch (InterruptedException e) {
                        return;
                    }
                    control.cancel();
                });
                later.start();
                assertEquals(Kind.CANCELLED, assertThrows(ServiceException.class,
                        () -> client.segment(spec(blobs), blobs, new RunListener() { }, control)).kind());
                later.join();
            }
        }
        while (!ours().isEmpty())
            Thread.sleep(100);
        try (NucleiClient client = client()) {
            while (client.info().runs() > 0)
                Thread.sleep(100);
        }
    }

    private static Set<String> ours() {
        Set<String> names = new TreeSet<>();
        Thread.getAllStackTraces().keySet().forEach(thread -> {
            if (thread.getName().matches("hemalum-(reader-)?\\d+"))
                names.add(thread.getName());
        });
        return names;
    }

    @Test
    void anInterruptCancels() throws Exception {
        Blobs blobs = new Blobs(12000, 8000);
        Throwable[] thrown = new Throwable[1];
        boolean[] flag = new boolean[1];
        Thread run = new Thread(() -> {
            try (NucleiClient client = client()) {
                client.segment(spec(blobs), blobs, new RunListener() { }, new RunControl());
            } catch (ServiceException e) {
                thrown[0] = e;
                flag[0] = Thread.currentThread().isInterrupted();
            }
        });
        run.start();
        Thread.sleep(300);
        run.interrupt();
        run.join();
        assertEquals(Kind.CANCELLED, ((ServiceException) thrown[0]).kind());
        assertTrue(flag[0]);
    }

    @Test
    void aServerKilledInMidRunIsSaidSo() throws Exception {
        Blobs blobs = new Blobs(12000, 8000);
        try (LocalServer victim = LocalServer.start(PythonServer.python(), List.of("--models", models.toString()),
                PATIENCE, line -> { });
             NucleiClient client = NucleiClient.connect(victim.endpoint(), victim.token(), null, "client test")) {
            ServiceException lost = assertThrows(ServiceException.class,
                    () -> client.segment(spec(blobs), blobs, new RunListener() {
                @Override
                public void nuclei(FoundNuclei nuclei) {
                    ProcessHandle.of(victim.pid()).ifPresent(ProcessHandle::destroyForcibly);
                }
            }, new RunControl()));
            assertEquals(Kind.LOST, lost.kind(), lost.toString());
        }
    }

    @Test
    void childEndsWithItsInput() throws Exception {
        LocalServer child = LocalServer.start(PythonServer.python(), List.of("--models", models.toString()), PATIENCE,
                line -> { });
        ProcessHandle process = ProcessHandle.of(child.pid()).orElseThrow();
        child.close();
        process.onExit().get();
    }

    @Test
    void aChildThatCannotStartSaysWhy() {
        ServiceException failure = assertThrows(ServiceException.class,
                () -> LocalServer.start(PythonServer.python(),
                List.of("--models", folder.resolve("nowhere").toString()), PATIENCE, line -> { }));
        assertEquals(Kind.NO_LOCAL_SERVER, failure.kind());
        assertTrue(failure.getMessage().contains("nowhere"), failure.getMessage());
        assertEquals(Kind.NO_LOCAL_SERVER, assertThrows(ServiceException.class,
                () -> LocalServer.start(folder.resolve("python"), List.of(), 5, line -> { })).kind());
    }

    @Test
    void wrongTokenAndNone() {
        assertEquals(Kind.TOKEN_REFUSED, kind(server.endpoint(), "wrong", null));
        assertEquals(Kind.TOKEN_REFUSED, kind(server.endpoint(), null, null));
    }

    @Test
    void aServerOfAnotherTime() throws Exception {
        try (PythonServer.Odd old = new PythonServer.Odd(models, 0, 0)) {
            assertEquals(Kind.SERVER_TOO_OLD, kind(old.endpoint, null, null));
        }
        try (PythonServer.Odd young = new PythonServer.Odd(models, 9, 9)) {
            assertEquals(Kind.SERVER_TOO_NEW, kind(young.endpoint, null, null));
        }
    }

    @Test
    void nothingListensThere() throws Exception {
        int port;
        try (ServerSocket socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        assertEquals(Kind.NOTHING_LISTENING, kind(new Endpoint("127.0.0.1", port, false), null, null));
        assertEquals(Kind.NOTHING_LISTENING, kind(new Endpoint("127.0.0.1", port, true), null, null));
    }

    @Test
    void nobodyKnowsTheName() {
        assertEquals(Kind.UNKNOWN_HOST, kind(new Endpoint("no-such-host.invalid", 50051, false), null, null));
    }

    @Test
    void anotherProgramListensThere() throws Exception {
        HttpServer web = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        web.createContext("/", exchange -> {
            exchange.sendResponseHeaders(404, 0);
            exchange.close();
        });
        web.start();
        try {
            assertEquals(Kind.NOT_GRPC, kind(new Endpoint("127.0.0.1", web.getAddress().getPort(), false), null, null));
        } finally {
            web.stop(0);
        }
    }

    @Test
    void tlsAndItsMistakes() throws Exception {
        try (PythonServer.Tls tls = new PythonServer.Tls(folder.resolve("tls"), models)) {
            Endpoint secure = new Endpoint("localhost", tls.port, true);
            try (NucleiClient client = NucleiClient.connect(secure, tls.token, tls.authority, "client test")) {
                assertEquals("toy", client.info().model("toy").id());
            }
            assertEquals(Kind.UNTRUSTED_CERTIFICATE, kind(secure, tls.token, null));
            assertEquals(Kind.TOKEN_REFUSED, kind(secure, "another token of sixteen", tls.authority));
            assertEquals(Kind.SERVER_WANTS_TLS, kind(new Endpoint("127.0.0.1", tls.port, false), tls.token, null));
            try (PythonServer.Tls other = new PythonServer.Tls(folder.resolve("other"), models, "lab.example")) {
                assertEquals(Kind.UNTRUSTED_CERTIFICATE, kind(secure, tls.token, other.authority));
                assertEquals(Kind.WRONG_HOST, kind(new Endpoint("localhost", other.port, true), other.token,
                        other.authority));
            }
        }
        assertEquals(Kind.SERVER_IS_PLAIN, kind(new Endpoint("127.0.0.1", server.endpoint().port(), true),
                server.token(), null));
        assertThrows(ServiceException.class, () -> NucleiClient.connect(new Endpoint("localhost", 1, true), null,
                models.resolve("toy/card.json"), "x"));
        assertThrows(ServiceException.class, () -> NucleiClient.connect(new Endpoint("localhost", 1, true), null,
                folder.resolve("none"), "x"));
    }

    @Test
    void whatTheServerRefusesItSaysItself() {
        Blobs blobs = new Blobs(100, 100);
        SegmentSpec nobody = new SegmentSpec("nobody", blobs.image(), List.of(), null, null, null, "", null, true, true,
                SegmentSpec.Encoding.RAW, null);
        SegmentSpec coarse = new SegmentSpec("toy", new SegmentSpec.Image(100, 100, 40, "test", "", 0, 0), List.of(),
                null, null, null, "", null, true, true, SegmentSpec.Encoding.RAW, null);
        try (NucleiClient client = client()) {
            assertEquals(Kind.MODEL_MISSING, assertThrows(ServiceException.class,
                    () -> client.segment(nobody, blobs, new RunListener() { }, new RunControl())).kind());
            ServiceException refused = assertThrows(ServiceException.class,
                    () -> client.segment(coarse, blobs, new RunListener() { }, new RunControl()));
            assertEquals(Kind.REFUSED, refused.kind());
            assertTrue(refused.getMessage().contains("40"), refused.getMessage());
        }
    }

    @Test
    void theColourTableGivesTheServersThumbnail() throws Exception {
        Blobs blobs = new Blobs(1200, 900);
        TileSource.Pixels overview = blobs.overview(2048);
        try (NucleiClient client = client()) {
            Normalized normalized = client.normalize(overview, 0, "macenko", null, null);
            assertEquals(6, normalized.stainMatrix().length);
            int[] pixels = new int[overview.width() * overview.height()];
            for (int i = 0; i < pixels.length; i++)
                pixels[i] = (overview.rgb()[3 * i] & 0xff) << 16 | (overview.rgb()[3 * i
                        + 1] & 0xff) << 8 | overview.rgb()[3 * i + 2] & 0xff;
            normalized.table().apply(pixels);
            byte[] theirs = normalized.thumbnail().rgb();
            for (int i = 0; i < pixels.length; i++)
                for (int c = 0; c < 3; c++)
                    assertEquals(theirs[3 * i + c] & 0xff, pixels[i] >> 16 - 8 * c & 0xff);
            // the same stain, given instead of estimated, gives the same table
            assertArrayEquals(normalized.table().rgb(), client.normalize(overview, 0, "macenko",
                    normalized.stainMatrix(), null).table().rgb());
        }
    }

    @Test
    void aTileIsTranslatedByAModelsGenerator() throws Exception {
        TileSource.Pixels tile = new Blobs(1200, 900).tile(100, 80, 117, 60, 1);
        try (NucleiClient client = client()) {
            assertTrue(client.info().model("toy").generator());
            TileSource.Pixels found = client.translate(tile, "toy");
            assertEquals(tile.width(), found.width());
            for (int i = 0; i < tile.rgb().length; i++)
                assertEquals(255 - (tile.rgb()[i] & 0xff), found.rgb()[i] & 0xff);
            ServiceException none = assertThrows(ServiceException.class, () -> client.translate(tile, ""));
            assertEquals(Kind.REFUSED, none.kind());
            assertTrue(none.getMessage().contains("no generator"), none.getMessage());
        }
    }
}
