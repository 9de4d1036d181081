package qupath.lib.gui.viewer;

import java.awt.Shape;
import javafx.collections.ObservableList;
import qupath.lib.gui.viewer.overlays.PathOverlay;
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
    public ImagePlane getImagePlane() {
        throw new UnsupportedOperationException();
    }
    public void repaint() {
        throw new UnsupportedOperationException();
    }

    protected QuPathViewer() {}
}
