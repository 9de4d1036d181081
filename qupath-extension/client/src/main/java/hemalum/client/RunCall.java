package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.NucleiGrpc;
import hemalum.v1.SegmentReply;
import hemalum.v1.ServerInfo;
import io.grpc.Metadata;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * What both ways of a run share: its replies and its end.
 * <p>
 * Replies are pulled one at a time, so that a slow listener slows the server instead of filling memory. All state is
 * guarded by {@code this}.
 *
 * @param <Q> what is sent
 */
abstract class RunCall<Q> implements ClientResponseObserver<Q, SegmentReply> {

    /** A server that answers with this says something at least so often, in seconds, as long as the run goes on. */
    private static final Metadata.Key<String> HEARTBEAT =
            Metadata.Key.of("hemalum-heartbeat", Metadata.ASCII_STRING_MARSHALLER);
    /** An opening that takes longer is explained, if the server can. */
    private static final long WHY_AFTER_MS = 2000, WHY_AGAIN_MS = 5000;

    final Line line;
    final RunListener listener;
    final RunControl control;
    final NucleiGrpc.NucleiStub stub;
    ClientCallStreamObserver<Q> out;
    Opened plan;
    private final AtomicReference<Metadata> headers = new AtomicReference<>();
    private boolean answered, ended, taking;
    private long heard = System.nanoTime(), why = heard + TimeUnit.MILLISECONDS.toNanos(WHY_AFTER_MS);
    private RunSummary summary;
    private Throwable failure;

    RunCall(Line line, RunListener listener, RunControl control) {
        this.line = line;
        this.listener = listener;
        this.control = control;
        stub = line.stub().withInterceptors(MetadataUtils.newCaptureMetadataInterceptor(headers,
                new AtomicReference<>()));
    }

    /** Does the whole of it; returns when it is over. */
    abstract RunSummary run();

    /** What is done with the server's request for an overview; called guarded. */
    void overviewWanted(int maxSide) {}

    /** What is done with the plan, once {@link #plan} is set; called guarded. */
    void planned() {}

    /** What is done with a credit; called guarded. */
    void credited() {}

    /** Whether nothing of this run has been told to the listener that another try would tell again. */
    final synchronized boolean untold() {
        return plan == null;
    }

    /** The summary of a run that is over. */
    final RunSummary result() {
        if (control.isCancelled())
            throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), failure);
        if (summary != null)
            return summary;
        if (failure == null)
            throw new ServiceException(Kind.LOST, Texts.get("ended", line.endpoint().authority()), null);
        throw Sentences.of(failure, line.endpoint(), answered);
    }

    final boolean over() {
        return ended || failure != null || control.isCancelled();
    }

    /** Waits for something to happen; to be called guarded. */
    final void pause() throws InterruptedException {
        wait(1000);
    }

    /** An answer is due from now on; to be called guarded. */
    final void listen() {
        heard = System.nanoTime();
    }

    /** Whether the server has announced that it always says something. */
    final boolean heartbeats() {
        Metadata first = headers.get();
        return first != null && first.containsKey(HEARTBEAT);
    }

    /** Gives up a server that has said nothing for too long; to be called guarded, while an answer is due. */
    final void expectAnswer() {
        Duration limit = heartbeats() ? line.patience().silenceWithHeartbeats() : line.patience().silence();
        if (!taking && System.nanoTime() - heard > limit.toNanos())
            failure = new ServiceException(Kind.TIMED_OUT,
                    Texts.get("silent", line.endpoint().authority(), limit.toMinutes()), null);
    }

    /** Lets the listener know why the run is not open yet, where the server is still loading. */
    final void explain() {
        synchronized (this) {
            if (plan != null || System.nanoTime() < why)
                return;
            why = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WHY_AGAIN_MS);
        }
        line.stub().withDeadlineAfter(WHY_AGAIN_MS, TimeUnit.MILLISECONDS)
                .getServerInfo(line.question(), new StreamObserver<>() {
            @Override
            public void onNext(ServerInfo info) {
                if (!info.getReady() && untold())
                    tell(() -> listener.waiting(Texts.get("loading", info.getState())));
            }

            @Override
            public void onError(Throwable t) {
                // the run itself finds out what is wrong
            }

            @Override
            public void onCompleted() {}
        });
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
        hear(true);
        try {
            take(reply);
        } catch (RuntimeException | Error e) {
            fail(e);
            throw e;
        } finally {
            hear(false);
        }
        out.request(1);
    }

    /** A slow listener must not make the server look silent. */
    private synchronized void hear(boolean begins) {
        answered = true;
        taking = begins;
        listen();
    }

    private void take(SegmentReply reply) {
        switch (reply.getMessageCase()) {
            case OVERVIEW_REQUEST -> {
                synchronized (this) {
                    overviewWanted(reply.getOverviewRequest().getMaxSide());
                }
            }
            case QUEUED -> {
                if (reply.getQueued().getPlace() > 0)
                    tell(() -> listener.waiting(reply.getQueued().getSentence()));
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
            default -> { } // not asked for, or added to the contract after this client was made
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
