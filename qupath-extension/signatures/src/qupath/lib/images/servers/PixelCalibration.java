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
    public double getPixelHeightMicrons() {
        throw new UnsupportedOperationException();
    }
    public double getPixelWidthMicrons() {
        throw new UnsupportedOperationException();
    }

    public static class Builder {
        public PixelCalibration build() {
            throw new UnsupportedOperationException();
        }
        public PixelCalibration.Builder pixelSizeMicrons(Number a, Number b) {
            throw new UnsupportedOperationException();
        }
    }
}
