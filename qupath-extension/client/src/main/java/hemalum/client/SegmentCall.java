package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.Overview;
import hemalum.v1.SegmentRequest;
import hemalum.v1.Tile;
import hemalum.v1.TileFailed;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * One run over one stream, on pixels that this side reads.
 * <p>
 * Flow control is by credits: a tile is read only once the server has granted one, so neither side ever holds more than
 * {@code Opened.credits} tiles, however large the slide.
 */
final class SegmentCall extends RunCall<SegmentRequest> {

    private static final int READERS = 3;

    private final SegmentSpec spec;
    private final TileSource source;

    private Deque<Opened.Tile> waiting = new ArrayDeque<>();
    private int overviewSide = -1;
    private int credits, reading, given, returned;
    private boolean halfClosed;

    SegmentCall(Line line, SegmentSpec spec, TileSource source, RunListener listener, RunControl control) {
        super(line, listener, control);
        this.spec = spec;
        this.source = source;
    }

    @Override
    RunSummary run() {
        control.onChange(this::wake);
        List<Thread> readers = new ArrayList<>();
        try {
            stub.segment(this);
            send(SegmentRequest.newBuilder().setOpen(Wire.open(spec, line.client())).build());
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
            throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), e);
        } finally {
            control.onChange(() -> {});
            abandon();
            readers.forEach(Thread::interrupt);
            joinQuietly(readers);
        }
    }

    /** Waits for the request for an overview, reads and sends it, and waits for the plan. */
    private void openUp() throws InterruptedException {
        until(() -> overviewSide >= 0 || plan != null);
        if (overviewSide > 0 && !over()) {
            try {
                send(SegmentRequest.newBuilder().setOverview(Overview.newBuilder()
                        .setPixels(Wire.pixels(source.overview(overviewSide), SegmentSpec.Encoding.RAW))).build());
            } catch (java.io.IOException | RuntimeException e) {
                if (e instanceof ServiceException known)
                    throw known;
                if (Thread.interrupted())
                    throw new InterruptedException();
                throw new ServiceException(Kind.REFUSED, Texts.get("overview.unread", reason(e)), e);
            }
        }
        until(() -> plan != null);
    }

    /** Waits for an answer to what was just sent. */
    private void until(BooleanSupplier answered) throws InterruptedException {
        synchronized (this) {
            listen();
        }
        while (true) {
            synchronized (this) {
                if (answered.getAsBoolean() || over())
                    return;
                pause();
                expectAnswer();
            }
            explain();
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
                if (heartbeats() || plan != null && (credits < plan.credits() || halfClosed))
                    expectAnswer();
            }
            return result();
        }
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
                    send(SegmentRequest.newBuilder().setFailed(TileFailed.newBuilder().setIndex(tile.index())
                            .setReason(reason(e))).build());
                    synchronized (this) {
                        credited();
                    }
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
        while (!over() && !control.isStopped() && !waiting.isEmpty() && !mayRead())
            pause();
        if (over() || control.isStopped() || waiting.isEmpty())
            return null;
        credits--;
        reading++;
        given++;
        return waiting.removeFirst();
    }

    /**
     * Whether there is a credit, and the first tile is not kept waiting: it is where the person looks. So it goes
     * alone, and only one more follows until that is taken too, which is when the first has been computed.
     */
    private boolean mayRead() {
        return credits > 0 && (given == 0 || given == 1 && reading == 0 || returned > 1);
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
        String text = e.getMessage() == null || e.getMessage().isBlank() ? e.getClass().getSimpleName()
                : e.getMessage().strip();
        return text.endsWith(".") ? text : text + ".";
    }

    @Override
    void overviewWanted(int maxSide) {
        overviewSide = maxSide;
    }

    @Override
    void planned() {
        credits = plan.credits();
        waiting = new ArrayDeque<>(order(plan.tiles()));
    }

    @Override
    void credited() {
        credits++;
        returned++;
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
}
