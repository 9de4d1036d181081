package qupath.lib.images.servers;

import java.util.Collection;

/** Signatures only: what the extension calls. */
public interface TileRequestManager {
    Collection<TileRequest> getTileRequestsForLevel(int a);
}
