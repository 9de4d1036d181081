package hemalum.client;

import hemalum.client.ServiceException.Kind;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Waits for a place on a server that has none now: as the server asks, not for ever, and not in step with others who
 * wait.
 */
final class Turn {

    private static final double SHORTEST = 0.1, LONGEST = 120, UNSAID = 10;

    private final RunListener listener;
    private final RunControl control;
    private final long end;

    /** @param patience in all */
    Turn(RunListener listener, RunControl control, Duration patience) {
        this.listener = listener;
        this.control = control;
        end = System.nanoTime() + patience.toNanos();
    }

    /**
     * Waits as long as a busy server asks for.
     *
     * @throws ServiceException {@code busy} itself where it is something else, or patience is at its end;
     *                          {@code CANCELLED}
     */
    void await(ServiceException busy) {
        double asked = busy.retryAfter();
        double seconds = Math.clamp(asked > 0 ? asked : UNSAID, SHORTEST, LONGEST)
                * ThreadLocalRandom.current().nextDouble(1, 1.25);
        if (busy.kind() != Kind.BUSY || System.nanoTime() + seconds * 1e9 > end)
            throw busy;
        synchronized (listener) {
            listener.waiting(Texts.get("busy.again", busy.getMessage(), Math.max(1, Math.round(seconds))));
        }
        try {
            if (control.await(Math.round(1000 * seconds)))
                throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), busy);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ServiceException(Kind.CANCELLED, Texts.get("cancelled"), e);
        }
    }
}
