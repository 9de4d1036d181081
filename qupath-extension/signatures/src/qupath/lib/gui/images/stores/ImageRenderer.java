package qupath.lib.gui.images.stores;

import java.awt.image.BufferedImage;

/** Signatures only: what the extension calls. */
public interface ImageRenderer {
    BufferedImage applyTransforms(BufferedImage a, BufferedImage b);
    long getLastChangeTimestamp();
}
