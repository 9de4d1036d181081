package qupath.lib.measurements;

/** Signatures only: what the extension calls. */
public interface MeasurementList {
    default void close() {
        throw new UnsupportedOperationException();
    }
    double get(String a);
    void put(String a, double b);
    void removeAll(String... a);
}
