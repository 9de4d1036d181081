package hemalum.client;

/** Told of what happens in a run; one call at a time, from threads of the connection. */
public interface RunListener {

    /**
     * Nothing can be done yet: a sentence that says what is waited for, for example a server that is busy or still
     * loading.
     */
    default void waiting(String why) {}

    /** The plan is made. */
    default void opened(Opened plan) {}

    /** Nuclei that are final. */
    default void nuclei(FoundNuclei nuclei) {}

    /** A tile's pixels are read. */
    default void read(int index) {}

    /** A tile's pixels are on their way. */
    default void sent(int index) {}

    /** Every nucleus of this tile is known. */
    default void settled(int index) {}

    /** This tile gave no nuclei. */
    default void failed(int index, String reason) {}

    /** Tiles done of all, nuclei so far, seconds since the run opened. */
    default void progress(int done, int total, long nuclei, double seconds) {}
}
