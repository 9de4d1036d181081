package qupath.lib.objects;

/** Signatures only: what the extension calls. */
public class TMACoreObject extends PathROIObject {
    public boolean isMissing() {
        throw new UnsupportedOperationException();
    }

    protected TMACoreObject() {}
}
