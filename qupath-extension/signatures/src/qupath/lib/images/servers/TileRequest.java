package qupath.lib.images.servers;

import qupath.lib.regions.RegionRequest;

/** Signatures only: what the extension calls. */
public class TileRequest {
    public RegionRequest getRegionRequest() {
        throw new UnsupportedOperationException();
    }
    public int getT() {
        throw new UnsupportedOperationException();
    }
    public int getTileX() {
        throw new UnsupportedOperationException();
    }
    public int getTileY() {
        throw new UnsupportedOperationException();
    }
    public int getZ() {
        throw new UnsupportedOperationException();
    }

    protected TileRequest() {}
}
