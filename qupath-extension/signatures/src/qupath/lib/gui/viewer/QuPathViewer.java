package qupath.lib.gui.viewer;

import java.awt.Shape;
import java.awt.image.BufferedImage;
import javafx.collections.ObservableList;
import qupath.lib.gui.images.stores.DefaultImageRegionStore;
import qupath.lib.gui.viewer.overlays.PathOverlay;
import qupath.lib.images.ImageData;
import qupath.lib.regions.ImagePlane;

/** Signatures only: what the extension calls. */
public class QuPathViewer {
    public double getCenterPixelX() {
        throw new UnsupportedOperationException();
    }
    public double getCenterPixelY() {
        throw new UnsupportedOperationException();
    }
    public ObservableList<PathOverlay> getCustomOverlayLayers() {
        throw new UnsupportedOperationException();
    }
    public Shape getDisplayedRegionShape() {
        throw new UnsupportedOperationException();
    }
    public ImageData<BufferedImage> getImageData() {
        throw new UnsupportedOperationException();
    }
    public ImagePlane getImagePlane() {
        throw new UnsupportedOperationException();
    }
    public DefaultImageRegionStore getImageRegionStore() {
        throw new UnsupportedOperationException();
    }
    public BufferedImage getRGBThumbnail() {
        throw new UnsupportedOperationException();
    }
    public int getTPosition() {
        throw new UnsupportedOperationException();
    }
    public int getZPosition() {
        throw new UnsupportedOperationException();
    }
    public void repaint() {
        throw new UnsupportedOperationException();
    }
    public void repaintEntireImage() {
        throw new UnsupportedOperationException();
    }
    public void resetCustomPixelLayerOverlay() {
        throw new UnsupportedOperationException();
    }
    public void setCustomPixelLayerOverlay(PathOverlay a) {
        throw new UnsupportedOperationException();
    }

    protected QuPathViewer() {}
}
