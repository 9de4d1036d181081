package qupath.fx.utils;

import java.util.concurrent.Callable;

/** Signatures only: what the extension calls. */
public class FXUtils {
    public static <T> T callOnApplicationThread(Callable<T> a) {
        throw new UnsupportedOperationException();
    }

    protected FXUtils() {}
}
