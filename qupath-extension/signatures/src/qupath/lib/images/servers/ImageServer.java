package qupath.lib.images.servers;

import java.io.IOException;
import qupath.lib.regions.RegionRequest;

/** Signatures only: what the extension calls. */
public interface ImageServer<T> {
    int getHeight();
    ImageServerMetadata getMetadata();
    String getPath();
    default PixelCalibration getPixelCalibration() {
        throw new UnsupportedOperationException();
    }
    TileRequestManager getTileRequestManager();
    int getWidth();
    boolean isRGB();
    int nResolutions();
    default T readRegion(RegionRequest a) throws IOException {
        throw new UnsupportedOperationException();
    }
}
