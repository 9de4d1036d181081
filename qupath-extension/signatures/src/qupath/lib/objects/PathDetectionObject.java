package qupath.lib.objects;

/** Signatures only: what the extension calls. */
public class PathDetectionObject extends PathROIObject {

    protected PathDetectionObject() {}
}
