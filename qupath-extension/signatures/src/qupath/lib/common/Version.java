package qupath.lib.common;

/** Signatures only: what the extension calls. */
public class Version {
    public static Version parse(String a) throws IllegalArgumentException {
        throw new UnsupportedOperationException();
    }

    protected Version() {}
}
