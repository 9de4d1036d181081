package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.client.Opened

/** Told how a run goes on; never from the user interface's thread. All methods do nothing unless overridden. */
@CompileStatic
trait Monitor {

    /** What is being done now: a sentence. */
    void stage(String what) {}

    /** The plan is made. */
    void opened(Opened plan) {}

    /** Nuclei that are final. */
    void found(FoundNuclei nuclei) {}

    /** This tile gave no nuclei. */
    void failed(Opened.Tile tile, String reason) {}

    /** Whether nuclei found before the server was lost are kept; asked once. */
    boolean keepAfter(Exception reason) { false }

    /** Tiles read, sent, segmented, settled (all their nuclei are final) and of all; nuclei so far; seconds since the run opened. */
    void progress(int read, int sent, int done, int settled, int total, long nuclei, double seconds) {}
}
