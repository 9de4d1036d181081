package hemalum.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.GetServerInfoRequest;
import hemalum.v1.NormalizeReply;
import hemalum.v1.NormalizeRequest;
import hemalum.v1.Progress;
import hemalum.v1.Queued;
import hemalum.v1.SegmentReply;
import hemalum.v1.ServerInfo;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** How long a person waits for whom, and what is tried again. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class PatienceTest {

    private static final RunListener NOBODY = new RunListener() { };
    private static final Patience USUAL = Patience.usual();

    private static Patience silence(int ms, int withHeartbeats) {
        return new Patience(USUAL.call(), USUAL.normalize(), Duration.ofMillis(ms), Duration.ofMillis(withHeartbeats),
                USUAL.keepAlive(), USUAL.keepAliveTimeout(), USUAL.busy());
    }

    private static ServiceException failure(NucleiClient client, RunListener listener, RunControl control) {
        return assertThrows(ServiceException.class, () -> FakeServer.run(client, listener, control));
    }

    @Test
    void whatAPersonWaitsFor() {
        String given = System.clearProperty("hemalum.patience.seconds");
        try {
            Patience usual = Patience.usual();
            assertEquals(Duration.ofSeconds(20), usual.keepAlive());
            assertEquals(Duration.ofSeconds(10), usual.keepAliveTimeout());
            assertEquals(Duration.ofMinutes(5), usual.silence());
            assertEquals(Duration.ofMinutes(2), usual.silenceWithHeartbeats());
        } finally {
            if (given != null)
                System.setProperty("hemalum.patience.seconds", given);
        }
    }

    @Test
    void aServerThatHangsWhileOpeningIsGivenUp() throws Exception {
        try (FakeServer silent = new FakeServer() {
            @Override
            void opened(StreamObserver<SegmentReply> out) { }
        }; NucleiClient client = silent.client(silence(1500, 1500))) {
            assertEquals(Kind.TIMED_OUT, failure(client, NOBODY, new RunControl()).kind());
        }
        try (FakeServer silent = new FakeServer() {
            @Override
            void overview(StreamObserver<SegmentReply> out) { }
        }; NucleiClient client = silent.client(silence(1500, 1500))) {
            assertEquals(Kind.TIMED_OUT, failure(client, NOBODY, new RunControl()).kind());
        }
    }

    @Test
    void whoWaitsIsToldItsPlace() throws Exception {
        List<String> told = Collections.synchronizedList(new ArrayList<>());
        try (FakeServer full = new FakeServer() {
            @Override
            void opened(StreamObserver<SegmentReply> out) {
                for (int place = 2; place >= 0; place--)
                    out.onNext(SegmentReply.newBuilder().setQueued(Queued.newBuilder().setPlace(place)
                            .setSentence("this run is number " + place + " in the queue")).build());
                super.opened(out);
            }
        }; NucleiClient client = full.client()) {
            FakeServer.run(client, new RunListener() {
                @Override
                public void waiting(String why) {
                    told.add(why);
                }
            }, new RunControl());
        }
        assertEquals(List.of("this run is number 2 in the queue", "this run is number 1 in the queue"), told);
    }

    /** A server that never decides a tile, and says so as often as it is told to. */
    private static final class Slow extends FakeServer {
        private final boolean beats;

        Slow(boolean beats, String... headers) throws IOException {
            super(headers);
            this.beats = beats;
        }

        @Override
        void tile(StreamObserver<SegmentReply> out, int index) {
            if (index > 0)
                return;
            Thread.ofVirtual().start(() -> {
                try {
                    for (int i = 0; i < 8; i++) {
                        Thread.sleep(500);
                        if (beats)
                            out.onNext(SegmentReply.newBuilder().setProgress(Progress.newBuilder().setTotal(TILES))
                                    .build());
                    }
                    out.onError(error(Status.Code.INVALID_ARGUMENT, "long enough", "hemalum-error", "UsageError"));
                } catch (InterruptedException | IllegalStateException | io.grpc.StatusRuntimeException e) {
                    // the client has gone
                }
            });
        }
    }

    @Test
    void whereHeartbeatsAreAnnouncedSilenceIsShorter() throws Exception {
        try (Slow slow = new Slow(false, "hemalum-heartbeat", "0.5");
             NucleiClient client = slow.client(silence(60_000, 2000))) {
            assertEquals(Kind.TIMED_OUT, failure(client, NOBODY, new RunControl()).kind());
        }
        try (Slow slow = new Slow(false); NucleiClient client = slow.client(silence(60_000, 2000))) {
            assertEquals(Kind.REFUSED, failure(client, NOBODY, new RunControl()).kind());
        }
        try (Slow slow = new Slow(true, "hemalum-heartbeat", "0.5");
             NucleiClient client = slow.client(silence(60_000, 2000))) {
            assertEquals(Kind.REFUSED, failure(client, NOBODY, new RunControl()).kind());
        }
    }

    @Test
    void aSlowListenerIsNoSilentServer() throws Exception {
        try (FakeServer fake = new FakeServer(); NucleiClient client = fake.client(silence(1500, 1500))) {
            RunSummary summary = FakeServer.run(client, new RunListener() {
                @Override
                public void settled(int index) {
                    try {
                        Thread.sleep(index == 0 ? 4000 : 0);
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                }
            }, new RunControl());
            assertTrue(summary.complete());
        }
    }

    @Test
    void aLoadingServerIsSaidToBeLoading() throws Exception {
        List<String> said = Collections.synchronizedList(new ArrayList<>());
        try (FakeServer loading = new FakeServer() {
            @Override
            ServerInfo.Builder info() {
                return super.info().setReady(said.size() > 0).setState("loading; the first run waits a few seconds");
            }

            @Override
            void opened(StreamObserver<SegmentReply> out) {
                Thread.ofVirtual().start(() -> {
                    while (said.isEmpty())
                        Thread.onSpinWait();
                    super.opened(out);
                });
            }
        }; NucleiClient client = loading.client()) {
            FakeServer.run(client, new RunListener() {
                @Override
                public void waiting(String why) {
                    said.add(why);
                }
            }, new RunControl());
            assertTrue(said.get(0).contains("loading; the first run waits a few seconds"), said.toString());
        }
    }

    /** A network that swallows everything from a moment on. */
    private static final class Hole implements AutoCloseable {
        final ServerSocket socket = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        volatile boolean open = true;

        Hole(int port) throws IOException {
            Thread.ofVirtual().start(() -> {
                try {
                    while (true) {
                        Socket here = socket.accept(), there = new Socket(InetAddress.getLoopbackAddress(), port);
                        pump(here.getInputStream(), there.getOutputStream());
                        pump(there.getInputStream(), here.getOutputStream());
                    }
                } catch (IOException e) {
                    // closed
                }
            });
        }

        private void pump(InputStream from, OutputStream to) {
            Thread.ofVirtual().start(() -> {
                byte[] some = new byte[8192];
                try {
                    for (int n; (n = from.read(some)) >= 0; ) {
                        if (open)
                            to.write(some, 0, n);
                    }
                } catch (IOException e) {
                    // closed
                }
            });
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    @Test
    void aNetworkThatSwallowsEverythingIsNoticed() throws Exception {
        Patience patience = new Patience(USUAL.call(), USUAL.normalize(), USUAL.silence(),
                USUAL.silenceWithHeartbeats(), Duration.ofSeconds(10), Duration.ofSeconds(1), USUAL.busy());
        try (Slow slow = new Slow(true); Hole hole = new Hole(slow.endpoint.port());
             NucleiClient client = NucleiClient.connect(new Endpoint("127.0.0.1", hole.socket.getLocalPort(), false),
                     null, null, "test", patience)) {
            assertEquals(Kind.LOST, failure(client, new RunListener() {
                @Override
                public void opened(Opened plan) {
                    hole.open = false;
                }
            }, new RunControl()).kind());
        }
    }

    /** A server that has no place for the first runs. */
    private static final class Full extends FakeServer {
        private final int refused;

        Full(int refused) throws IOException {
            this.refused = refused;
        }

        @Override
        void overview(StreamObserver<SegmentReply> out) {
            if (runs.get() > refused)
                super.overview(out);
            else
                out.onError(error(Status.Code.RESOURCE_EXHAUSTED, "the server is busy with 8 runs", "hemalum-error",
                        "Busy", "hemalum-retry-after", "0.2"));
        }
    }

    @Test
    void aBusyServerIsAskedAgain() throws Exception {
        List<String> said = Collections.synchronizedList(new ArrayList<>());
        try (Full full = new Full(2); NucleiClient client = full.client()) {
            assertTrue(FakeServer.run(client, new RunListener() {
                @Override
                public void waiting(String why) {
                    said.add(why);
                }
            }, new RunControl()).complete());
            assertEquals(3, full.runs.get());
            assertEquals(2, said.size());
            assertTrue(said.get(0).contains("the server is busy with 8 runs"), said.toString());
        }
    }

    @Test
    void waitingForABusyServerEnds() throws Exception {
        Patience patience = new Patience(USUAL.call(), USUAL.normalize(), USUAL.silence(),
                USUAL.silenceWithHeartbeats(), USUAL.keepAlive(), USUAL.keepAliveTimeout(), Duration.ofSeconds(3));
        try (Full full = new Full(1000); NucleiClient client = full.client(patience)) {
            ServiceException busy = failure(client, NOBODY, new RunControl());
            assertEquals(Kind.BUSY, busy.kind());
            assertTrue(full.runs.get() > 1 && full.runs.get() < 20, full.runs.toString());
        }
        try (Full full = new Full(1000); NucleiClient client = full.client()) {
            RunControl control = new RunControl();
            assertEquals(Kind.CANCELLED, failure(client, new RunListener() {
                @Override
                public void waiting(String why) {
                    control.cancel();
                }
            }, control).kind());
            assertEquals(1, full.runs.get());
        }
    }

    @Test
    void aShortCallIsTriedOnceMore() throws Exception {
        int[] broken = {1};
        try (FakeServer fake = new FakeServer() {
            @Override
            public void getServerInfo(GetServerInfoRequest request, StreamObserver<ServerInfo> out) {
                if (broken[0]-- > 0)
                    out.onError(Status.UNAVAILABLE.withDescription("GOAWAY").asRuntimeException());
                else
                    super.getServerInfo(request, out);
            }

            @Override
            public void normalize(NormalizeRequest request, StreamObserver<NormalizeReply> out) {
                if (broken[0]-- > 0)
                    out.onError(error(Status.Code.RESOURCE_EXHAUSTED, "busy", "hemalum-error", "Busy",
                            "hemalum-retry-after", "0.1"));
                else
                    super.normalize(request, out);
            }
        }; NucleiClient client = fake.client()) {
            assertEquals("0.1.0", client.info().version());
            broken[0] = 2;
            assertThrows(ServiceException.class, client::info);
            broken[0] = 2;
            client.normalize(new TileSource.Pixels(1, 1, new byte[3]), 0, "", null, null);
        }
    }

    @Test
    void noProxyStandsBeforeALabServer() throws Exception {
        ProxySelector before = ProxySelector.getDefault();
        try (FakeServer fake = new FakeServer();
             ServerSocket proxy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            ProxySelector.setDefault(new ProxySelector() {
                @Override
                public List<Proxy> select(URI uri) {
                    return List.of(new Proxy(Proxy.Type.HTTP, proxy.getLocalSocketAddress()));
                }

                @Override
                public void connectFailed(URI uri, SocketAddress address, IOException failure) { }
            });
            proxy.close();
            try (NucleiClient client = fake.client()) {
                assertEquals("0.1.0", client.info().version());
            }
        } finally {
            ProxySelector.setDefault(before);
        }
    }
}
