package qupath.lib.gui;

import java.awt.image.BufferedImage;
import javafx.beans.property.ReadOnlyObjectProperty;
import javafx.collections.ObservableList;
import javafx.scene.control.Menu;
import javafx.scene.control.TabPane;
import javafx.scene.control.ToolBar;
import javafx.stage.Stage;
import qupath.lib.gui.panes.PreferencePane;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.images.ImageData;
import qupath.lib.projects.Project;

/** Signatures only: what the extension calls. */
public class QuPathGUI {
    public ObservableList<QuPathViewer> getAllViewers() {
        throw new UnsupportedOperationException();
    }
    public TabPane getAnalysisTabPane() {
        throw new UnsupportedOperationException();
    }
    public ImageData<BufferedImage> getImageData() {
        throw new UnsupportedOperationException();
    }
    public Menu getMenu(String a, boolean b) {
        throw new UnsupportedOperationException();
    }
    public Project<BufferedImage> getProject() {
        throw new UnsupportedOperationException();
    }
    public Stage getStage() {
        throw new UnsupportedOperationException();
    }
    public ToolBar getToolBar() {
        throw new UnsupportedOperationException();
    }
    public PreferencePane getPreferencePane() {
        throw new UnsupportedOperationException();
    }
    public QuPathViewer getViewer() {
        throw new UnsupportedOperationException();
    }
    public void refreshProject() {
        throw new UnsupportedOperationException();
    }

    protected QuPathGUI() {}
    public ReadOnlyObjectProperty<ImageData<BufferedImage>> imageDataProperty() {
        throw new UnsupportedOperationException();
    }
}
