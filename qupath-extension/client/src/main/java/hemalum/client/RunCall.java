package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.SegmentReply;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;

/**
 * What both ways of a run share: its replies and its end.
 * <p>
 * Replies are pulled one at a time, so that a slow listener slows the server instead of filling memory. All state is guarded by
 * {@code this}.
 *
 * @param <Q> what is sent
 */
abstract class RunCall<Q> implements ClientResponseObserver<Q, SegmentReply> {

    /** A server that says nothing for so long while tiles are under way is taken for lost. */
    private static final long SILENCE_MS = 300_000;

    final Endpoint endpoint;
    final RunListener listener;
    final RunControl control;
    ClientCallStreamObserver<Q> out;
    Opened plan;
    private boolean answered, ended;
    private long heard = System.nanoTime();
    private RunSummary summary;
    private Throwable failure;

    RunCall(Endpoint endpoint, RunListener listener, RunControl control) {
        this.endpoint = endpoint;
        this.listener = listener;
        this.control = control;
    }

    /** What is done with the server's request for an overview; called guarded. */
    void overviewWanted(int maxSide) {}

    /** What is done with the plan, once {@link #plan} is set; called guarded. */
    void planned() {}

    /** What is done with a credit; called guarded. */
    void credited() {}

    /** The summary of a run that is over. */
    final RunSummary result() {
        if (control.isCancelled())
            throw new ServiceException(Kind.CANCELLED, "Cancelled.", failure);
        if (summary != null)
            return summary;
        throw Sentences.of(failure != null ? failure : new java.io.EOFException("end of stream"), endpoint, answered);
    }

    final boolean over() {
        return ended || failure != null || control.isCancelled();
    }

    /** Waits for something to happen; to be called guarded. */
    final void pause() throws InterruptedException {
        wait(1000);
    }

    /** Gives up a server that has said nothing for too long; to be called guarded, while an answer is due. */
    final void expectAnswer() {
        if (System.nanoTime() - heard > SILENCE_MS * 1_000_000)
            failure = new ServiceException(Kind.TIMED_OUT, "The server at " + endpoint.authority() + " has said nothing for "
                    + SILENCE_MS / 60_000 + " minutes. Look whether it is still running.", null);
    }

    final synchronized void wake() {
        notifyAll();
    }

    final synchronized void fail(Throwable e) {
        if (failure == null && !ended)
            failure = e;
        notifyAll();
    }

    final void tell(Runnable event) {
        synchronized (listener) {
            event.run();
        }
    }

    /** Cancels the call where it still goes on. */
    final void abandon() {
        boolean open;
        synchronized (this) {
            open = !ended && out != null;
        }
        if (open)
            out.cancel("the client ended the run", null);
    }

    @Override
    public final void beforeStart(ClientCallStreamObserver<Q> requests) {
        out = requests;
        requests.disableAutoRequestWithInitial(1);
        requests.setOnReadyHandler(this::wake);
    }

    @Override
    public final void onNext(SegmentReply reply) {
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
                    overviewWanted(reply.getOverviewRequest().getMaxSide());
                }
            }
            case OPENED -> {
                Opened opened = Wire.opened(reply.getOpened());
                tell(() -> listener.opened(opened));
                synchronized (this) {
                    plan = opened;
                    planned();
                }
            }
            case CREDIT -> {
                synchronized (this) {
                    credited();
                }
            }
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

    @Override
    public final void onError(Throwable t) {
        synchronized (this) {
            if (failure == null)
                failure = t;
            ended = true;
        }
        wake();
    }

    @Override
    public final synchronized void onCompleted() {
        ended = true;
        notifyAll();
    }
}
