package qupath.lib.gui.images.stores;

/** Signatures only: what the extension calls. */
public abstract class AbstractImageRenderer implements ImageRenderer {
    public AbstractImageRenderer() {
        throw new UnsupportedOperationException();
    }
}
