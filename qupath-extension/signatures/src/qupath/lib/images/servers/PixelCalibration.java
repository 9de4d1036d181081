package qupath.lib.images.servers;

/** Signatures only: what the extension calls. */
public class PixelCalibration {
    public double getAveragedPixelSizeMicrons() {
        throw new UnsupportedOperationException();
    }
    public boolean hasPixelSizeMicrons() {
        throw new UnsupportedOperationException();
    }

    protected PixelCalibration() {}
}
