package qupath.lib.gui.images.stores;

/** Signatures only: what the extension calls. */
public abstract class AbstractImageRegionStore<T> {

    protected AbstractImageRegionStore() {}
}
