package qupath.lib.gui;

import java.awt.image.BufferedImage;
import javafx.scene.control.Menu;
import javafx.scene.control.ToolBar;
import javafx.stage.Stage;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.images.ImageData;

/** Signatures only: what the extension calls. */
public class QuPathGUI {
    public ImageData<BufferedImage> getImageData() {
        throw new UnsupportedOperationException();
    }
    public Menu getMenu(String a, boolean b) {
        throw new UnsupportedOperationException();
    }
    public Stage getStage() {
        throw new UnsupportedOperationException();
    }
    public ToolBar getToolBar() {
        throw new UnsupportedOperationException();
    }
    public QuPathViewer getViewer() {
        throw new UnsupportedOperationException();
    }

    protected QuPathGUI() {}
}
