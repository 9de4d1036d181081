package hemalum.rules;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.locationtech.jts.geom.Envelope;

/**
 * What a person corrects in a region: which nuclei become annotations, and which annotations are nuclei again at the end.
 *
 * @param nuclei what becomes a nucleus again
 * @param large  drawn since, but larger than any nucleus: they stay what they are
 * @param <T>    an object
 */
public record Correcting<T>(List<T> nuclei, List<T> large) {

    /** Class of a nucleus that can be edited. */
    public static final String NUCLEUS = "Nucleus";

    /** Our nuclei that have their centre in a region, on its plane. */
    public static <T> List<T> begin(View<T> view, T region, Collection<? extends T> detections) {
        return inside(view, region, detections).stream().filter(object -> Marks.isOurs(view, object)).toList();
    }

    /** Annotations in a region that are no nuclei, though they look like what a person draws: to be remembered when a correction begins. */
    public static <T> List<T> others(View<T> view, T region, Collection<? extends T> annotations) {
        return inside(view, region, annotations).stream().filter(object -> object != region && looksDrawn(view, object)).toList();
    }

    /**
     * What a person means by nuclei.
     *
     * @param before  names of those that were made editable
     * @param others  names of {@link #others}
     * @param longest side of a nucleus, px
     */
    public static <T> Correcting<T> done(View<T> view, T region, Collection<? extends T> annotations, Set<String> before, Set<String> others,
                                         double longest) {
        List<T> nuclei = new ArrayList<>(), large = new ArrayList<>();
        for (T object : annotations) {
            // also one that was moved out of the region
            if (view.area(object) != null && before.contains(view.id(object).toString()))
                nuclei.add(object);
        }
        for (T object : inside(view, region, annotations)) {
            String name = view.id(object).toString();
            if (object == region || before.contains(name) || others.contains(name) || !looksDrawn(view, object))
                continue;
            Envelope box = view.area(object).getEnvelopeInternal();
            (Math.max(box.getWidth(), box.getHeight()) > longest ? large : nuclei).add(object);
        }
        return new Correcting<>(nuclei, large);
    }

    /** What lies in a region by its centre, on its plane. */
    public static <T> List<T> inside(View<T> view, T region, Collection<? extends T> objects) {
        Areas<T> areas = new Areas<>();
        areas.add(region, view.area(region));
        List<T> found = new ArrayList<>();
        for (T object : objects) {
            // last, since making an area takes longest
            if (view.z(object) == view.z(region) && view.t(object) == view.t(region) && areas.at(view.x(object), view.y(object)) != null
                    && view.area(object) != null)
                found.add(object);
        }
        return found;
    }

    private static <T> boolean looksDrawn(View<T> view, T object) {
        String name = view.className(object);
        return view.isRegion(object) && !view.isCore(object) && (name == null || name.equals(NUCLEUS)) && !Marks.isCorrected(view, object);
    }
}
