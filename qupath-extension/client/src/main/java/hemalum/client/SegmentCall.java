package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.NucleiGrpc;
import hemalum.v1.Overview;
import hemalum.v1.SegmentReply;
import hemalum.v1.SegmentRequest;
import hemalum.v1.Tile;
import hemalum.v1.TileFailed;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;

/**
 * One run over one stream.
 * <p>
 * Flow control is by credits: a tile is read only once the server has granted one, so neither side ever holds more than
 * {@code Opened.credits} tiles, however large the slide. Replies are pulled one at a time, so that a slow listener slows the server
 * instead of filling memory. All state is guarded by {@code this}.
 */
final class SegmentCall implements ClientResponseObserver<SegmentRequest, SegmentReply> {

    /** A server that says nothing for so long while tiles are under way is taken for lost. */
    private static final long SILENCE_MS = 300_000;
    private static final int READERS = 3;

    private final NucleiGrpc.NucleiStub stub;
    private final Endpoint endpoint;
    private final String client;
    private final SegmentSpec spec;
    private final TileSource source;
    private final RunListener listener;
    private final RunControl control;

    private ClientCallStreamObserver<SegmentRequest> out;
    private Deque<Opened.Tile> waiting = new ArrayDeque<>();
    private Opened plan;
    private int overviewSide = -1;
    private int credits, reading;
    private boolean answered, halfClosed, ended;
    private long heard = System.nanoTime();
    private RunSummary summary;
    private Throwable failure;

    SegmentCall(NucleiGrpc.NucleiStub stub, Endpoint endpoint, String client, SegmentSpec spec, TileSource source, RunListener listener,
                RunControl control) {
        this.stub = stub;
        this.endpoint = endpoint;
        this.client = client;
        this.spec = spec;
        this.source = source;
        this.listener = listener;
        this.control = control;
    }

    RunSummary run() {
        control.onChange(this::wake);
        List<Thread> readers = new ArrayList<>();
        try {
            stub.segment(this);
            send(SegmentRequest.newBuilder().setOpen(Wire.open(spec, client)).build());
            openUp();
            for (int i = 0; i < READERS; i++) {
                Thread reader = new Thread(this::readTiles, "hemalum-reader-" + (i + 1));
                reader.setDaemon(true);
                reader.start();
                readers.add(reader);
            }
            return await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ServiceException(Kind.CANCELLED, "Cancelled.", e);
        } finally {
            control.onChange(() -> {});
            abandon();
            readers.forEach(Thread::interrupt);
            joinQuietly(readers);
        }
    }

    /** Waits for the request for an overview, reads and sends it, and waits for the plan. */
    private void openUp() throws InterruptedException {
        synchronized (this) {
            while (overviewSide < 0 && plan == null && !over())
                pause();
        }
        if (overviewSide > 0 && !over()) {
            try {
                send(SegmentRequest.newBuilder().setOverview(Overview.newBuilder()
                        .setPixels(Wire.pixels(source.overview(overviewSide), SegmentSpec.Encoding.RAW))).build());
            } catch (java.io.IOException | RuntimeException e) {
                if (e instanceof ServiceException known)
                    throw known;
                throw new ServiceException(Kind.REFUSED, "The overview of the image could not be read: " + reason(e), e);
            }
        }
        synchronized (this) {
            while (plan == null && !over())
                pause();
        }
    }

    /** Waits for the end of the run, closing our half as soon as every tile is sent or no more are wanted. */
    private RunSummary await() throws InterruptedException {
        synchronized (this) {
            while (!over()) {
                boolean nothingLeft = control.isStopped() || plan != null && waiting.isEmpty();
                if (nothingLeft && reading == 0 && !halfClosed && plan != null) {
                    halfClosed = true;
                    out.onCompleted();
                }
                pause();
                boolean underWay = plan != null && (credits < plan.credits() || halfClosed);
                if (underWay && System.nanoTime() - heard > SILENCE_MS * 1_000_000)
                    failure = new ServiceException(Kind.TIMED_OUT, "The server at " + endpoint.authority() + " has said nothing for "
                            + SILENCE_MS / 60_000 + " minutes. Look whether it is still running.", null);
            }
        }
        if (control.isCancelled())
            throw new ServiceException(Kind.CANCELLED, "Cancelled.", failure);
        if (summary != null)
            return summary;
        throw Sentences.of(failure != null ? failure : new java.io.EOFException("end of stream"), endpoint, answered);
    }

    private void readTiles() {
        try {
            for (Opened.Tile next; (next = next()) != null; ) {
                Opened.Tile tile = next;
                boolean read = false;
                try {
                    TileSource.Pixels pixels = source.tile(tile.x(), tile.y(), tile.width(), tile.height(), plan.box());
                    read = true;
                    tell(() -> listener.read(tile.index()));
                    send(SegmentRequest.newBuilder().setTile(Tile.newBuilder().setIndex(tile.index())
                            .setPixels(Wire.pixels(pixels, spec.encoding()))).build());
                    tell(() -> listener.sent(tile.index()));
                } catch (java.io.IOException | RuntimeException e) {
                    if (read || over())
                        throw e;
                    send(SegmentRequest.newBuilder().setFailed(TileFailed.newBuilder().setIndex(tile.index()).setReason(reason(e))).build());
                    giveBack();
                } finally {
                    done();
                }
            }
        } catch (InterruptedException e) {
            // the run is over
        } catch (java.io.IOException | RuntimeException | Error e) {
            fail(e);
        }
    }

    private synchronized Opened.Tile next() throws InterruptedException {
        while (!over() && !control.isStopped() && !waiting.isEmpty() && credits == 0)
            pause();
        if (over() || control.isStopped() || waiting.isEmpty())
            return null;
        credits--;
        reading++;
        return waiting.removeFirst();
    }

    private synchronized void giveBack() {
        credits++;
    }

    private synchronized void done() {
        reading--;
        notifyAll();
    }

    private synchronized void send(SegmentRequest message) throws InterruptedException {
        // credits bound the number of tiles; this also bounds what lies in the transport when the network is slow
        while (!over() && !out.isReady())
            pause();
        if (!over())
            out.onNext(message);
    }

    private boolean over() {
        return ended || failure != null || control.isCancelled();
    }

    private void pause() throws InterruptedException {
        wait(1000);
    }

    private synchronized void wake() {
        notifyAll();
    }

    private synchronized void fail(Throwable e) {
        if (failure == null && !ended)
            failure = e;
        notifyAll();
    }

    private void tell(Runnable event) {
        synchronized (listener) {
            event.run();
        }
    }

    private void abandon() {
        boolean open;
        synchronized (this) {
            open = !ended && out != null;
        }
        if (open)
            out.cancel("the client ended the run", null);
    }

    private static void joinQuietly(List<Thread> threads) {
        boolean interrupted = Thread.interrupted();
        try {
            for (Thread thread : threads)
                thread.join(5000);
        } catch (InterruptedException e) {
            interrupted = true;
        }
        if (interrupted)
            Thread.currentThread().interrupt();
    }

    private static String reason(Throwable e) {
        String text = e.getMessage() == null || e.getMessage().isBlank() ? e.getClass().getSimpleName() : e.getMessage().strip();
        return text.endsWith(".") ? text : text + ".";
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<SegmentRequest> requests) {
        out = requests;
        requests.disableAutoRequestWithInitial(1);
        requests.setOnReadyHandler(this::wake);
    }

    @Override
    public void onNext(SegmentReply reply) {
        try {
            take(reply);
        } catch (RuntimeException | Error e) {
            fail(e);
            throw e;
        }
        out.request(1);
    }

    private void take(SegmentReply reply) {
        synchronized (this) {
            answered = true;
            heard = System.nanoTime();
        }
        switch (reply.getMessageCase()) {
            case OVERVIEW_REQUEST -> {
                synchronized (this) {
                    overviewSide = reply.getOverviewRequest().getMaxSide();
                }
            }
            case OPENED -> {
                Opened opened = Wire.opened(reply.getOpened());
                tell(() -> listener.opened(opened));
                synchronized (this) {
                    plan = opened;
                    credits = opened.credits();
                    waiting = new ArrayDeque<>(order(opened.tiles()));
                }
            }
            case CREDIT -> giveBack();
            case NUCLEI -> {
                FoundNuclei nuclei = FoundNuclei.of(reply.getNuclei());
                tell(() -> listener.nuclei(nuclei));
            }
            case NORMALIZED_TILE -> {
                var tile = reply.getNormalizedTile();
                TileSource.Pixels pixels = Wire.pixels(tile.getPixels());
                tell(() -> listener.normalized(tile.getIndex(), tile.getX(), tile.getY(), pixels));
            }
            case SETTLED -> tell(() -> listener.settled(reply.getSettled().getIndex()));
            case FAILED -> tell(() -> listener.failed(reply.getFailed().getIndex(), reply.getFailed().getReason()));
            case PROGRESS -> {
                var p = reply.getProgress();
                tell(() -> listener.progress(p.getDone(), p.getTotal(), p.getNuclei(), p.getSeconds()));
            }
            case SUMMARY -> {
                synchronized (this) {
                    summary = Wire.summary(reply.getSummary(), control.isStopped());
                }
            }
            default -> { } // added to the contract after this client was made
        }
        wake();
    }

    private List<Opened.Tile> order(List<Opened.Tile> tiles) {
        if (spec.centre() == null)
            return tiles;
        List<Opened.Tile> sorted = new ArrayList<>(tiles);
        double x = spec.centre()[0], y = spec.centre()[1];
        sorted.sort(Comparator.comparingDouble(tile ->
                Math.hypot(tile.core()[0] + tile.core()[2] / 2 - x, tile.core()[1] + tile.core()[3] / 2 - y)));
        return sorted;
    }

    @Override
    public void onError(Throwable t) {
        synchronized (this) {
            if (failure == null)
                failure = t;
            ended = true;
        }
        wake();
    }

    @Override
    public synchronized void onCompleted() {
        ended = true;
        notifyAll();
    }
}
