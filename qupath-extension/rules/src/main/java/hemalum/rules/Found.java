package hemalum.rules;

/** Nuclei that a run found, or that are to come back. */
public interface Found {

    /** How many. */
    int size();

    /** What names one. */
    Object id(int i);

    /** Centre, level-0 px. */
    double x(int i);

    /** Centre, level-0 px. */
    double y(int i);
}
