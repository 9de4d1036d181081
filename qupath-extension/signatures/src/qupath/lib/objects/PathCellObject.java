package qupath.lib.objects;

import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public class PathCellObject extends PathDetectionObject {
    public ROI getNucleusROI() {
        throw new UnsupportedOperationException();
    }

    protected PathCellObject() {}
}
