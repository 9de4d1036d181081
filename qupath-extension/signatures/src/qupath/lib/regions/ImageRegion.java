package qupath.lib.regions;

/** Signatures only: what the extension calls. */
public class ImageRegion {

    protected ImageRegion() {}
}
