package qupath.lib.regions;

/** Signatures only: what the extension calls. */
public class RegionRequest extends ImageRegion {
    public static RegionRequest createInstance(String a, double b, int c, int d, int e, int f, ImagePlane g) {
        throw new UnsupportedOperationException();
    }

    protected RegionRequest() {}
}
