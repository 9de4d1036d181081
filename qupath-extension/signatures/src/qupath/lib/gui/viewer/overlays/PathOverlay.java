package qupath.lib.gui.viewer.overlays;

import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import qupath.lib.images.ImageData;
import qupath.lib.regions.ImageRegion;

/** Signatures only: what the extension calls. */
public interface PathOverlay {
    void paintOverlay(Graphics2D a, ImageRegion b, double c, ImageData<BufferedImage> d, boolean e);
}
