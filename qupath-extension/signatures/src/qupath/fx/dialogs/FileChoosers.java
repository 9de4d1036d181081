package qupath.fx.dialogs;

import java.io.File;
import javafx.stage.FileChooser;

/** Signatures only: what the extension calls. */
public class FileChoosers {
    public static FileChooser.ExtensionFilter createExtensionFilter(String a, String... b) {
        throw new UnsupportedOperationException();
    }
    public static File promptForDirectory(String a, File b) {
        throw new UnsupportedOperationException();
    }
    public static File promptForFile(String a, FileChooser.ExtensionFilter... b) {
        throw new UnsupportedOperationException();
    }

    protected FileChoosers() {}
}
