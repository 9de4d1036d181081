package hemalum.client;

import hemalum.v1.Credit;
import hemalum.v1.GetServerInfoRequest;
import hemalum.v1.NucleiGrpc;
import hemalum.v1.NormalizeReply;
import hemalum.v1.NormalizeRequest;
import hemalum.v1.Opened;
import hemalum.v1.OverviewRequest;
import hemalum.v1.Rect;
import hemalum.v1.SegmentReply;
import hemalum.v1.SegmentRequest;
import hemalum.v1.ServerInfo;
import hemalum.v1.Settled;
import hemalum.v1.Summary;
import hemalum.v1.TilePlan;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.okhttp.OkHttpServerBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A server on this computer whose faults a test chooses: the real one cannot be made to misbehave so. */
class FakeServer extends NucleiGrpc.NucleiImplBase implements AutoCloseable {

    static final int TILES = 4;

    final Server server;
    final Endpoint endpoint;
    final AtomicInteger infos = new AtomicInteger(), runs = new AtomicInteger();
    final List<String> tokens = new CopyOnWriteArrayList<>();

    /** @param headers that every answer begins with */
    FakeServer(String... headers) throws IOException {
        Metadata first = new Metadata();
        for (int i = 0; i < headers.length; i += 2)
            first.put(key(headers[i]), headers[i + 1]);
        server = OkHttpServerBuilder.forPort(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                InsecureServerCredentials.create())
                .addService(this).intercept(MetadataUtils.newAttachMetadataServerInterceptor(first))
                .intercept(new Tokens())
                .permitKeepAliveTime(1, TimeUnit.SECONDS).build().start();
        endpoint = new Endpoint("127.0.0.1", server.getPort(), false);
    }

    private final class Tokens implements ServerInterceptor {
        @Override
        public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers,
                ServerCallHandler<Q, R> next) {
            tokens.add(String.valueOf(headers.get(key("authorization"))));
            return next.startCall(call, headers);
        }
    }

    private static Metadata.Key<String> key(String name) {
        return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
    }

    /** An error as the real server answers with. */
    static StatusRuntimeException error(Status.Code code, String sentence, String... trailers) {
        Metadata last = new Metadata();
        for (int i = 0; i < trailers.length; i += 2)
            last.put(key(trailers[i]), trailers[i + 1]);
        return code.toStatus().withDescription(sentence).asRuntimeException(last);
    }

    NucleiClient client() {
        return NucleiClient.connect(endpoint, null, null, "client test");
    }

    NucleiClient client(Patience patience) {
        return NucleiClient.connect(endpoint, null, null, "client test", patience);
    }

    @Override
    public void getServerInfo(GetServerInfoRequest request, StreamObserver<ServerInfo> out) {
        infos.incrementAndGet();
        out.onNext(info().build());
        out.onCompleted();
    }

    ServerInfo.Builder info() {
        return ServerInfo.newBuilder().setApiVersion(1).setOldestApiVersion(1).setServerVersion("0.1.0").setReady(true)
                .setState("ready");
    }

    @Override
    public void normalize(NormalizeRequest request, StreamObserver<NormalizeReply> out) {
        out.onNext(NormalizeReply.getDefaultInstance());
        out.onCompleted();
    }

    @Override
    public StreamObserver<SegmentRequest> segment(StreamObserver<SegmentReply> out) {
        runs.incrementAndGet();
        return new StreamObserver<>() {
            @Override
            public void onNext(SegmentRequest request) {
                switch (request.getMessageCase()) {
                    case OPEN -> opened(out);
                    case OVERVIEW -> overview(out);
                    case TILE -> tile(out, request.getTile().getIndex());
                    default -> { }
                }
            }

            @Override
            public void onError(Throwable t) {
                // the client has gone
            }

            @Override
            public void onCompleted() {
                closed(out);
            }
        };
    }

    /** What an Open is answered with. */
    void opened(StreamObserver<SegmentReply> out) {
        out.onNext(SegmentReply.newBuilder().setOverviewRequest(OverviewRequest.newBuilder().setMaxSide(2048)).build());
    }

    /** What an Overview is answered with. */
    void overview(StreamObserver<SegmentReply> out) {
        Opened.Builder plan = Opened.newBuilder().setRunId("run").setBox(1).setCredits(2);
        for (int i = 0; i < TILES; i++)
            plan.addTiles(TilePlan.newBuilder().setIndex(i)
                    .setRead(Rect.newBuilder().setX(10 * i).setWidth(10).setHeight(10)));
        out.onNext(SegmentReply.newBuilder().setOpened(plan).build());
    }

    /** What a tile is answered with. */
    void tile(StreamObserver<SegmentReply> out, int index) {
        out.onNext(SegmentReply.newBuilder().setCredit(Credit.newBuilder().setIndex(index)).build());
        out.onNext(SegmentReply.newBuilder().setSettled(Settled.newBuilder().setIndex(index)).build());
    }

    /** What the end of the client's half is answered with. */
    void closed(StreamObserver<SegmentReply> out) {
        out.onNext(SegmentReply.newBuilder().setSummary(Summary.newBuilder().setTiles(TILES)).build());
        out.onCompleted();
    }

    /** A run on a small image. */
    static RunSummary run(NucleiClient client, RunListener listener, RunControl control) {
        Blobs blobs = new Blobs(10 * TILES, 10);
        return client.segment(SegmentSpec.of(blobs.image()), blobs, listener, control);
    }

    @Override
    public void close() throws Exception {
        server.shutdownNow();
        server.awaitTermination();
    }
}
