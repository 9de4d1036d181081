package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.GetServerInfoRequest;
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
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * A connection to a Hemalum server.
 * <p>
 * Every failure is a {@link ServiceException} with a sentence for the user. No type of gRPC or protobuf shows here: both are
 * relocated in the extension's jar, and scripts must not depend on them.
 */
public final class NucleiClient implements AutoCloseable {

    /** What this client speaks. */
    public static final int API_VERSION = 1;

    private static final int MAX_MESSAGE = 64 << 20;
    // a test on a machine with far too much to do may ask for more patience than a person has
    private static final int SHORT_SECONDS = Integer.getInteger("hemalum.patience.seconds", 30), NORMALIZE_SECONDS = 4 * SHORT_SECONDS;
    private static final int STARVED_TRIES = 10;
    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Endpoint endpoint;
    private final String name;
    private final ManagedChannel channel;
    private final NucleiGrpc.NucleiStub stub;
    private final ExecutorService callbacks;

    private NucleiClient(Endpoint endpoint, String name, ManagedChannel channel, NucleiGrpc.NucleiStub stub, ExecutorService callbacks) {
        this.endpoint = endpoint;
        this.name = name;
        this.channel = channel;
        this.stub = stub;
        this.callbacks = callbacks;
    }

    /**
     * Prepares a connection; nothing is sent yet.
     *
     * @param endpoint  the server
     * @param token     what it asks for, or null
     * @param authority PEM file of the authority that signed its certificate, or null for those that Java trusts
     * @param name      of this program and its version, for the server's log
     */
    public static NucleiClient connect(Endpoint endpoint, String token, Path authority, String name) {
        ChannelCredentials credentials = InsecureChannelCredentials.create();
        if (endpoint.tls()) {
            TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
            try {
                if (authority != null)
                    tls.trustManager(authority.toFile());
            } catch (IOException e) {
                throw new ServiceException(Kind.TLS, "The authority file " + authority + " cannot be read. Choose the server's ca.crt.", e);
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
                    .maxInboundMessageSize(MAX_MESSAGE).userAgent(name.replace(' ', '-')).build();
        } catch (IllegalArgumentException e) {
            callbacks.shutdown();
            throw new ServiceException(Kind.TLS, "The authority file " + authority + " is not a certificate. Choose the server's ca.crt.", e);
        }
        Channel named = channel;
        if (token != null && !token.isBlank()) {
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, "Bearer " + token.strip());
            named = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
        }
        return new NucleiClient(endpoint, name, channel, NucleiGrpc.newStub(named), callbacks);
    }

    /** The server. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /**
     * Asks the server what it is, and makes sure that both speak the same version.
     *
     * @throws ServiceException of any kind that a wrong address, a wrong token or a wrong version has
     */
    public ServerInfo info() {
        hemalum.v1.ServerInfo wire = call(() -> blocking(SHORT_SECONDS).getServerInfo(
                GetServerInfoRequest.newBuilder().setApiVersion(API_VERSION).setClient(name).build()));
        if (wire.getApiVersion() < API_VERSION)
            throw new ServiceException(Kind.SERVER_TOO_OLD, "The server at " + endpoint.authority() + " (version " + wire.getServerVersion()
                    + ") is too old for this extension. Have it updated there with 'pip install --upgrade hemalum'.", null);
        if (wire.getOldestApiVersion() > API_VERSION)
            throw new ServiceException(Kind.SERVER_TOO_NEW, "The server at " + endpoint.authority() + " (version " + wire.getServerVersion()
                    + ") is too new for this extension. Update the extension.", null);
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
    public Normalized normalize(TileSource.Pixels overview, double mpp, String stain, double[] stainMatrix, TileSource.Pixels reference) {
        NormalizeRequest.Builder request = NormalizeRequest.newBuilder().setApiVersion(API_VERSION).setClient(name)
                .setStain(stain == null ? "" : stain).setThumbnail(true).setOverview(overview(overview)).setOverviewMpp(mpp);
        if (stainMatrix != null)
            request.setStainMatrix(Wire.matrix(stainMatrix));
        if (reference != null)
            request.setReference(overview(reference));
        return Wire.normalized(call(() -> blocking(NORMALIZE_SECONDS).normalize(request.build())));
    }

    /**
     * A tile as a model's generator translates it into its reference stain: to look at, a network may change structures.
     *
     * @param tile  at the model's {@link ServerInfo.ModelInfo#mpp}, at most as large as an overview
     * @param model its name, or empty for the server's default
     * @throws ServiceException of kind {@code REFUSED} where the model has no generator
     */
    public TileSource.Pixels translate(TileSource.Pixels tile, String model) {
        NormalizeRequest request = NormalizeRequest.newBuilder().setApiVersion(API_VERSION).setClient(name).setModel(model == null ? "" : model)
                .setTile(Wire.pixels(tile, SegmentSpec.Encoding.RAW)).build();
        return Wire.pixels(call(() -> blocking(NORMALIZE_SECONDS).normalize(request)).getTile());
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
        return call(() -> new SegmentCall(stub.withMaxInboundMessageSize(MAX_MESSAGE), endpoint, name, spec, tiles, listener, control).run());
    }

    /**
     * Segments a slide that the server reads itself; otherwise as {@link #segment}. {@code spec}'s encoding and centre have no effect.
     *
     * @param path     of the slide as the server sees it, inside one of {@link ServerInfo#slideFolders}, with forward slashes
     * @param identity of the image ({@link TileSource.Pixels#identity}): a server whose file is another refuses
     * @throws ServiceException also of kind {@code REFUSED} where the server has no such file or another one
     */
    public RunSummary segmentSlide(SegmentSpec spec, String path, String identity, RunListener listener, RunControl control) {
        SegmentSpec.Image image = spec.image();
        SegmentSlideRequest request = SegmentSlideRequest.newBuilder().setApiVersion(API_VERSION).setClient(name).setModel(spec.model())
                .setPath(path).setMpp(image.mpp()).setParameters(Wire.parameters(spec)).setWidth(image.width()).setHeight(image.height())
                .setIdentity(identity).build();
        return call(() -> new SlideCall(stub.withMaxInboundMessageSize(MAX_MESSAGE), endpoint, request, listener, control).run());
    }

    private NucleiGrpc.NucleiBlockingStub blocking(int seconds) {
        return NucleiGrpc.newBlockingStub(stub.getChannel()).withDeadlineAfter(seconds, TimeUnit.SECONDS);
    }

    private <T> T call(Supplier<T> call) {
        for (int attempt = 1; ; attempt++) {
            try {
                return call.get();
            } catch (RuntimeException e) {
                // this computer was too busy to make the connection; nothing was sent yet
                if (attempt == STARVED_TRIES || !Sentences.starved(e))
                    throw Sentences.of(e, endpoint, false);
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
