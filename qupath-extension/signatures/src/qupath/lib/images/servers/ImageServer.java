package qupath.lib.images.servers;

import java.io.IOException;
import java.net.URI;
import java.util.Collection;
import qupath.lib.regions.RegionRequest;

/** Signatures only: what the extension calls. */
public interface ImageServer<T> {
    T getDefaultThumbnail(int a, int b) throws IOException;
    int getHeight();
    ImageServerMetadata getMetadata();
    String getPath();
    default PixelCalibration getPixelCalibration() {
        throw new UnsupportedOperationException();
    }
    TileRequestManager getTileRequestManager();
    Collection<URI> getURIs();
    int getWidth();
    boolean isRGB();
    int nResolutions();
    default T readRegion(RegionRequest a) throws IOException {
        throw new UnsupportedOperationException();
    }
    default ImageServerBuilder.ServerBuilder<T> getBuilder() {
        throw new UnsupportedOperationException();
    }
}
