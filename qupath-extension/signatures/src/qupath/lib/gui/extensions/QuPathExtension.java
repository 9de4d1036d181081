package qupath.lib.gui.extensions;

import qupath.lib.common.Version;
import qupath.lib.gui.QuPathGUI;

/** Signatures only: what the extension calls. */
public interface QuPathExtension {
    void installExtension(QuPathGUI a);
    String getName();
    String getDescription();
    default Version getQuPathVersion() {
        throw new UnsupportedOperationException();
    }
}
