package qupath.lib.regions;

/** Signatures only: what the extension calls. */
public class ImagePlane {
    public static ImagePlane getDefaultPlane() {
        throw new UnsupportedOperationException();
    }
    public static ImagePlane getPlane(int a, int b) {
        throw new UnsupportedOperationException();
    }
    public int getT() {
        throw new UnsupportedOperationException();
    }
    public int getZ() {
        throw new UnsupportedOperationException();
    }

    protected ImagePlane() {}
}
