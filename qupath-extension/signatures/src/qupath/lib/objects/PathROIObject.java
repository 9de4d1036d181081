package qupath.lib.objects;

/** Signatures only: what the extension calls. */
public abstract class PathROIObject extends PathObject {

    protected PathROIObject() {}
}
