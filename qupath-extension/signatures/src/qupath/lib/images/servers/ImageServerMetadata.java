package qupath.lib.images.servers;

/** Signatures only: what the extension calls. */
public class ImageServerMetadata {
    public ImageServerMetadata.ImageResolutionLevel getLevel(int a) {
        throw new UnsupportedOperationException();
    }
    public String getName() {
        throw new UnsupportedOperationException();
    }

    protected ImageServerMetadata() {}

    public static class ImageResolutionLevel {
        public int getHeight() {
            throw new UnsupportedOperationException();
        }
        public int getWidth() {
            throw new UnsupportedOperationException();
        }

        protected ImageResolutionLevel() {}
    }

    public static class Builder {
        public Builder(ImageServerMetadata a) {
            throw new UnsupportedOperationException();
        }
        public ImageServerMetadata build() {
            throw new UnsupportedOperationException();
        }
        public ImageServerMetadata.Builder pixelSizeMicrons(Number a, Number b) {
            throw new UnsupportedOperationException();
        }
    }
}
