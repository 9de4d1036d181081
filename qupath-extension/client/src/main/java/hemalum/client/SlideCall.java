package hemalum.client;

import hemalum.client.ServiceException.Kind;
import hemalum.v1.SegmentSlideRequest;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** One run on a slide that the server reads itself. */
final class SlideCall extends RunCall<SegmentSlideRequest> {

    private final SegmentSlideRequest request;
    private final Kept kept;

    SlideCall(Line line, SegmentSlideRequest request, RunListener listener, RunControl control) {
        this(line, request, new Kept(listener), control);
    }

    private SlideCall(Line line, SegmentSlideRequest request, Kept kept, RunControl control) {
        super(line, kept, control);
        this.request = request;
        this.kept = kept;
    }

    @Override
    RunSummary run() {
        control.onChange(this::wake);
        try {
            stub.segmentSlide(request, this);
            while (true) {
                synchronized (this) {
                    if (over())
                        return result();
                    if (control.isStopped() && plan != null)
                        return kept.summary(plan);
                    pause();
                    expectAnswer();
                }
                explain();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), e);
        } finally {
            control.onChange(() -> {});
            abandon();
        }
    }

    /**
     * Passes on what it is told, and knows what was final when the user had enough: such a stream has no early end of
     * its own.
     */
    private static final class Kept implements RunListener {
        private final RunListener listener;
        private final Set<Integer> settled = new HashSet<>();
        private long nuclei;

        Kept(RunListener listener) {
            this.listener = listener;
        }

        synchronized RunSummary summary(Opened plan) {
            Map<Integer, String> failed = new TreeMap<>();
            for (Opened.Tile tile : plan.tiles()) {
                if (!settled.contains(tile.index()))
                    failed.put(tile.index(), Texts.get("not.sent"));
            }
            return new RunSummary(nuclei, plan.tiles().size(), failed, Map.of(), true);
        }

        @Override
        public void waiting(String why) {
            listener.waiting(why);
        }

        @Override
        public void opened(Opened plan) {
            listener.opened(plan);
        }

        @Override
        public synchronized void nuclei(FoundNuclei found) {
            nuclei += found.size();
            listener.nuclei(found);
        }

        @Override
        public synchronized void settled(int index) {
            settled.add(index);
            listener.settled(index);
        }

        @Override
        public void failed(int index, String reason) {
            listener.failed(index, reason);
        }

        @Override
        public void progress(int done, int total, long count, double seconds) {
            listener.progress(done, total, count, seconds);
        }
    }
}
