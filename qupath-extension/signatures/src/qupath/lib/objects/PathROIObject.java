package qupath.lib.objects;

import qupath.lib.roi.interfaces.ROI;

/** Signatures only: what the extension calls. */
public abstract class PathROIObject extends PathObject {
    public ROI getROI() {
        throw new UnsupportedOperationException();
    }

    protected PathROIObject() {}
}
