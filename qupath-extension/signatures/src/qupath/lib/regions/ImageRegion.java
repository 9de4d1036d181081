package qupath.lib.regions;

/** Signatures only: what the extension calls. */
public class ImageRegion {

    protected ImageRegion() {}
    public int getT() {
        throw new UnsupportedOperationException();
    }
    public int getZ() {
        throw new UnsupportedOperationException();
    }
}
