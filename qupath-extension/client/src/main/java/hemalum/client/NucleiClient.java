package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.NormalizeRequest;
import hemalum.v1.NucleiGrpc;
import hemalum.v1.Overview;
import hemalum.v1.SegmentSlideRequest;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.okhttp.OkHttpChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * A connection to a Hemalum server.
 * <p>
 * Every failure is a {@link ServiceException} with a sentence for the user. No type of gRPC or protobuf shows here:
 * both are relocated in the extension's jar, and scripts must not depend on them.
 */
public final class NucleiClient implements AutoCloseable {

    /** What this client speaks. */
    public static final int API_VERSION = 1;

    private static final int MAX_MESSAGE = 64 << 20;
    private static final int STARVED_TRIES = 10;
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Line line;
    private final ManagedChannel channel;
    private final ExecutorService callbacks;

    private NucleiClient(Line line, ManagedChannel channel, ExecutorService callbacks) {
        this.line = line;
        this.channel = channel;
        this.callbacks = callbacks;
    }

    /**
     * Prepares a connection; nothing is sent yet.
     *
     * @param endpoint  the server
     * @param token     what it asks for, or null; {@link SavedToken#to} where it was saved. The token of a server that
     *                  the same user has started on this computer is found without
     * @param authority PEM file of the authority that signed its certificate, or null for those that Java trusts
     * @param name      of this program and its version, for the server's log
     * @throws ServiceException of kind {@code UNSAFE} where the token would be readable on the network, unless the
     *                          address says {@code insecure://}
     */
    public static NucleiClient connect(Endpoint endpoint, String token, Path authority, String name) {
        return connect(endpoint, token, authority, name, Patience.usual());
    }

    static NucleiClient connect(Endpoint endpoint, String token, Path authority, String name, Patience patience) {
        if ((token == null || token.isBlank()) && endpoint.loopback())
            token = OwnToken.of(endpoint.port());
        boolean secret = token != null && !token.isBlank();
        if (secret && !endpoint.tls() && !endpoint.loopback() && !endpoint.insecure())
            throw new ServiceException(Kind.UNSAFE, Texts.get("token.unsafe", endpoint.authority()), null);
        ChannelCredentials credentials = InsecureChannelCredentials.create();
        if (endpoint.tls()) {
            TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
            try {
                if (authority != null)
                    tls.trustManager(authority.toFile());
            } catch (IOException e) {
                throw new ServiceException(Kind.TLS, Texts.get("authority.unread", authority), e);
            }
            credentials = tls.build();
        }
        AtomicInteger count = new AtomicInteger();
        ExecutorService callbacks = Executors.newCachedThreadPool(work -> {
            Thread thread = new Thread(work, "hemalum-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        });
        ManagedChannel channel;
        try {
            channel = OkHttpChannelBuilder.forAddress(endpoint.host(), endpoint.port(), credentials).executor(callbacks)
                    .maxInboundMessageSize(MAX_MESSAGE).userAgent(name.replace(' ', '-'))
                    .keepAliveTime(patience.keepAlive().toMillis(), TimeUnit.MILLISECONDS)
                    .keepAliveTimeout(patience.keepAliveTimeout().toMillis(), TimeUnit.MILLISECONDS)
                    // a proxy for the web does not know the computers of a laboratory
                    .proxyDetector(address -> null).build();
        } catch (IllegalArgumentException e) {
            callbacks.shutdown();
            throw new ServiceException(Kind.TLS, Texts.get("authority.wrong", authority), e);
        }
        Channel named = channel;
        if (secret) {
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, "Bearer " + token.strip());
            named = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
        }
        NucleiGrpc.NucleiStub stub = NucleiGrpc.newStub(named).withMaxInboundMessageSize(MAX_MESSAGE);
        return new NucleiClient(new Line(stub, endpoint, name, patience), channel, callbacks);
    }

    /** The server. */
    public Endpoint endpoint() {
        return line.endpoint();
    }

    /**
     * Asks the server what it is, and makes sure that both speak the same version.
     *
     * @throws ServiceException of any kind that a wrong address, a wrong token or a wrong version has
     */
    public ServerInfo info() {
        hemalum.v1.ServerInfo wire = ask(() -> blocking(line.patience().call()).getServerInfo(line.question()));
        String at = endpoint().authority();
        if (wire.getApiVersion() < API_VERSION)
            throw new ServiceException(Kind.SERVER_TOO_OLD, Texts.get("server.old", at, wire.getServerVersion()), null);
        if (wire.getOldestApiVersion() > API_VERSION)
            throw new ServiceException(Kind.SERVER_TOO_NEW, Texts.get("server.new", at, wire.getServerVersion()), null);
        return Wire.info(wire);
    }

    /**
     * The stain of an image, and its colour table.
     *
     * @param overview    the whole image in one picture
     * @param mpp         µm per px of the overview, 0 if not known: a coarse one mixes colours, which is corrected for
     * @param stain       method, or empty for the server's default
     * @param stainMatrix six optical densities to use instead of an estimate, or null
     * @param reference   an image whose stain to take on, or null for the built-in reference
     */
    public Normalized normalize(TileSource.Pixels overview, double mpp, String stain, double[] stainMatrix,
            TileSource.Pixels reference) {
        NormalizeRequest.Builder request = NormalizeRequest.newBuilder().setApiVersion(API_VERSION)
                .setClient(line.client())
                .setStain(stain == null ? "" : stain).setThumbnail(true).setOverview(overview(overview))
                .setOverviewMpp(mpp);
        if (stainMatrix != null)
            request.setStainMatrix(Wire.matrix(stainMatrix));
        if (reference != null)
            request.setReference(overview(reference));
        return Wire.normalized(ask(() -> blocking(line.patience().normalize()).normalize(request.build())));
    }

    /**
     * A tile as a model's generator translates it into its reference stain: to look at, a network may change
     * structures.
     *
     * @param tile  at the model's {@link ServerInfo.ModelInfo#mpp}, at most as large as an overview
     * @param model its name, or empty for the server's default
     * @throws ServiceException of kind {@code REFUSED} where the model has no generator
     */
    public TileSource.Pixels translate(TileSource.Pixels tile, String model) {
        NormalizeRequest request = NormalizeRequest.newBuilder().setApiVersion(API_VERSION).setClient(line.client())
                .setModel(model == null ? "" : model).setTile(Wire.pixels(tile, SegmentSpec.Encoding.RAW)).build();
        return Wire.pixels(ask(() -> blocking(line.patience().normalize()).normalize(request)).getTile());
    }

    private static Overview overview(TileSource.Pixels pixels) {
        return Overview.newBuilder().setPixels(Wire.pixels(pixels, SegmentSpec.Encoding.RAW)).build();
    }

    /**
     * Segments an image; returns when the run has ended. An interrupt of the calling thread cancels the run.
     *
     * @param spec     what to do
     * @param tiles    reads the pixels
     * @param listener is told of nuclei as they become final
     * @param control  ends the run early
     * @throws ServiceException of kind {@code CANCELLED} after a cancel or an interrupt (whose flag is then set again)
     */
    public RunSummary segment(SegmentSpec spec, TileSource tiles, RunListener listener, RunControl control) {
        return run(() -> new SegmentCall(line, spec, tiles, listener, control), listener, control);
    }

    /**
     * Segments a slide that the server reads itself; otherwise as {@link #segment}. {@code spec}'s encoding and centre
     * have no effect.
     *
     * @param path     of the slide as the server sees it, inside one of {@link ServerInfo#slideFolders}, with forward
     *                 slashes
     * @param identity of the image ({@link TileSource.Pixels#identity}): a server whose file is another refuses
     * @throws ServiceException also of kind {@code REFUSED} where the server has no such file or another one
     */
    public RunSummary segmentSlide(SegmentSpec spec, String path, String identity, RunListener listener,
            RunControl control) {
        SegmentSpec.Image image = spec.image();
        SegmentSlideRequest request = SegmentSlideRequest.newBuilder().setApiVersion(API_VERSION)
                .setClient(line.client()).setModel(spec.model())
                .setPath(path).setMpp(image.mpp()).setParameters(Wire.parameters(spec)).setWidth(image.width())
                .setHeight(image.height())
                .setIdentity(identity).setQueues(true).build();
        return run(() -> new SlideCall(line, request, listener, control), listener, control);
    }

    private NucleiGrpc.NucleiBlockingStub blocking(Duration patience) {
        return NucleiGrpc.newBlockingStub(line.stub().getChannel()).withMaxInboundMessageSize(MAX_MESSAGE)
                .withDeadlineAfter(patience.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** A run, as soon as the server has a place for it. */
    private RunSummary run(Supplier<RunCall<?>> runs, RunListener listener, RunControl control) {
        Turn turn = new Turn(listener, control, line.patience().busy());
        while (true) {
            RunCall<?>[] last = new RunCall<?>[1];
            try {
                return call(() -> (last[0] = runs.get()).run());
            } catch (ServiceException e) {
                if (!last[0].untold())
                    throw e;
                turn.await(e);
            }
        }
    }

    /**
     * A short call that changes nothing, so that it can be repeated: once where something broke, and while the server
     * is busy.
     */
    private <T> T ask(Supplier<T> call) {
        Turn turn = new Turn(new RunListener() { }, new RunControl(), line.patience().call());
        boolean again = false;
        while (true) {
            try {
                return call(call);
            } catch (ServiceException e) {
                if (!again && Sentences.mayPass(e)) {
                    again = true;
                    channel.resetConnectBackoff();
                } else {
                    turn.await(e);
                }
            }
        }
    }

    private <T> T call(Supplier<T> call) {
        for (int attempt = 1; ; attempt++) {
            try {
                return call.get();
            } catch (RuntimeException e) {
                // this computer was too busy to make the connection; nothing was sent yet
                if (attempt == STARVED_TRIES || !Sentences.starved(e))
                    throw Sentences.of(e, endpoint(), false);
                channel.resetConnectBackoff();
            }
        }
    }

    /** Ends all calls and threads of this connection. */
    @Override
    public void close() {
        channel.shutdownNow();
        try {
            channel.awaitTermination(3, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        callbacks.shutdown();
    }
}
