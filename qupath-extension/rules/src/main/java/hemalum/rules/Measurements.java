package hemalum.rules;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The names of measurements, in one place. A name of QuPath's own ({@code ObjectMeasurements} in its features) is used only where
 * QuPath would give the same number; everything else begins with {@code Hemalum: }. {@code tests/cases/measurements.csv} defines each.
 */
public final class Measurements {

    /** Before every name that is ours alone. */
    public static final String OWN = "Hemalum: ";

    public static final String PROBABILITY = OWN + "Probability";
    public static final String ECCENTRICITY = OWN + "Eccentricity";
    /** With the stain of the run, not with the image's. */
    public static final String HAEMATOXYLIN = OWN + "Hematoxylin OD mean";
    /** With the stain of the run, not with the image's. */
    public static final String EOSIN = OWN + "Eosin OD mean";
    /** Of a region. */
    public static final String COUNT = OWN + "Nuclei";
    /** Of a region. */
    public static final String DENSITY = OWN + "Nuclei per mm^2";

    public static final String AREA = "Nucleus: Area µm^2";
    public static final String PERIMETER = "Nucleus: Length µm";
    public static final String CIRCULARITY = "Nucleus: Circularity";
    public static final String SOLIDITY = "Nucleus: Solidity";
    public static final String MAX_DIAMETER = "Nucleus: Max diameter µm";
    public static final String MIN_DIAMETER = "Nucleus: Min diameter µm";

    /** Names of QuPath's own that a server may send, since the outline alone decides them. */
    static final List<String> SHAPES = List.of(AREA, PERIMETER, CIRCULARITY, SOLIDITY, MAX_DIAMETER, MIN_DIAMETER);

    /** What servers of older versions call what. */
    static final Map<String, String> BEFORE = before();

    private Measurements() {}

    private static Map<String, String> before() {
        Map<String, String> names = new LinkedHashMap<>();
        names.put("Nucleus: Perimeter µm", PERIMETER);
        names.put("Nucleus: Eccentricity", ECCENTRICITY);
        // QuPath writes these with the image's stain vectors
        names.put("Nucleus: Hematoxylin OD mean", HAEMATOXYLIN);
        names.put("Nucleus: Eosin OD mean", EOSIN);
        names.put("Detection probability", PROBABILITY);
        return names;
    }

    /** What a column that a server announced is called in the image. */
    public static String named(String column) {
        if (SHAPES.contains(column) || column.startsWith(OWN))
            return column;
        String known = BEFORE.get(column);
        return known != null ? known : OWN + column;
    }
}
