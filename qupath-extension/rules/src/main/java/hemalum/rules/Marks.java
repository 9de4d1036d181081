package hemalum.rules;

import java.util.UUID;

/** What is ours, what a person has corrected, and what is to be ignored: the only place that says so. */
public final class Marks {

    /** Metadata of our nuclei: the run that made them. QuPath clears measurements where an outline is changed, but not metadata. */
    public static final String RUN = "hemalum.run";
    /** Metadata of a nucleus that a person may edit or has edited: the probability that it was found with. */
    public static final String PROBABILITY = "hemalum.probability";
    /** Metadata of a region whose nuclei a person has corrected. The class only shows it. */
    public static final String CORRECTED = "hemalum.corrected";
    /** Class that shows a corrected region; older projects have nothing else. */
    public static final String COMPLETE = "Complete";
    /** The measurement that our nuclei carry. */
    public static final String MEASURED = Measurements.PROBABILITY;
    /** What files of older versions call it; others use this name too. */
    static final String MEASURED_BEFORE = "Detection probability";

    private Marks() {}

    /** Whether a detection is a nucleus of ours, whoever put it there: extension, script, project command or a file dragged in. */
    public static <T> boolean isOurs(View<T> view, T object) {
        if (!view.isDetection(object))
            return false;
        return view.isMeasured(object, MEASURED) || view.metadata(object, RUN) != null || view.metadata(object, PROBABILITY) != null
                || view.isMeasured(object, MEASURED_BEFORE) && isDerived(view.id(object));
    }

    /** Our names of nuclei derive from image and place (version 5); QuPath's are random (version 4). */
    private static boolean isDerived(Object id) {
        try {
            return (id instanceof UUID known ? known : UUID.fromString(id.toString())).version() == 5;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    /** Whether a person answers for the nuclei of this region: no run segments, replaces or writes into it. */
    public static <T> boolean isCorrected(View<T> view, T object) {
        if (!view.isRegion(object))
            return false;
        String said = view.metadata(object, CORRECTED);
        return said != null ? !said.equals("no") : COMPLETE.equals(view.className(object));
    }

    /** Whether a region is of a class that QuPath ignores ({@code Ignore*} and the like); {@code Region*} only frames something. */
    public static <T> boolean isIgnored(View<T> view, T object) {
        String name = view.isRegion(object) ? view.className(object) : null;
        if (name == null || !name.endsWith("*"))
            return false;
        return !name.substring(name.lastIndexOf(':') + 1).strip().equals("Region*");
    }
}
