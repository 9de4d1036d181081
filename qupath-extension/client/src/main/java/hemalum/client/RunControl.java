package hemalum.client;

/** Ends a run from another thread. */
public final class RunControl {

    private Runnable onChange = () -> {};
    private boolean stopped, cancelled;

    /** Sends no further tiles; what was sent is finished and kept. */
    public void stop() {
        change(false);
    }

    /** Ends the run at once; nothing is kept. */
    public void cancel() {
        change(true);
    }

    private void change(boolean all) {
        Runnable tell;
        synchronized (this) {
            stopped = true;
            cancelled |= all;
            tell = onChange;
            notifyAll();
        }
        tell.run();
    }

    /** Whether no more tiles are wanted. */
    public synchronized boolean isStopped() {
        return stopped;
    }

    /** Whether nothing of the run is wanted any more. */
    public synchronized boolean isCancelled() {
        return cancelled;
    }

    /** Waits until the run is stopped or cancelled, at most so long; whether it was. */
    synchronized boolean await(long millis) throws InterruptedException {
        long end = System.nanoTime() + millis * 1_000_000;
        for (long left; !stopped && (left = (end - System.nanoTime()) / 1_000_000) > 0; )
            wait(left);
        return stopped;
    }

    synchronized void onChange(Runnable action) {
        onChange = action;
    }
}
