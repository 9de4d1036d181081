package qupath.lib.gui.images.stores;

import java.awt.Graphics;
import java.awt.Shape;
import java.awt.image.BufferedImage;
import java.awt.image.ImageObserver;
import qupath.lib.images.servers.ImageServer;

/** Signatures only: what the extension calls. */
public class DefaultImageRegionStore {
    public void paintRegion(ImageServer<BufferedImage> a, Graphics b, Shape c, int d, int e, double f, BufferedImage g, ImageObserver h, ImageRenderer i) {
        throw new UnsupportedOperationException();
    }

    protected DefaultImageRegionStore() {}
}
