package hemalum.rules;

import org.locationtech.jts.geom.Geometry;

/**
 * How the rules look at the objects of an image; nothing is copied.
 *
 * @param <T> an object
 */
public interface View<T> {

    /** What names the object, also after an undo has put another in its place. */
    Object id(T object);

    /** Whether it stands for the whole image. */
    boolean isRoot(T object);

    /** Whether it is a detection or a cell. */
    boolean isDetection(T object);

    /** Whether it is an annotation or a TMA core. */
    boolean isRegion(T object);

    /** Whether it is a TMA core. */
    boolean isCore(T object);

    /** Whether it is a TMA core that is said to be missing. */
    boolean isMissing(T object);

    /** Its class as QuPath writes it, or null. */
    String className(T object);

    /** What its metadata say under this key, or null. */
    String metadata(T object, String key);

    /** Whether it has a measurement of this name that is a number. */
    boolean isMeasured(T object, String name);

    /** Plane. */
    int z(T object);

    /** Time point. */
    int t(T object);

    /** Centre, of a cell that of its nucleus, level-0 px. */
    double x(T object);

    /** Centre, of a cell that of its nucleus, level-0 px. */
    double y(T object);

    /** What it lies below, or null. */
    T parent(T object);

    /** Its area, of a cell that of its nucleus; null for lines and points. */
    Geometry area(T object);
}
