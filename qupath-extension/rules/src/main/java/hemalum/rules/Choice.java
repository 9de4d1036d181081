package hemalum.rules;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.locationtech.jts.geom.Envelope;
import org.locationtech.jts.geom.Geometry;

/**
 * What a run segments, of what it was asked to.
 *
 * @param regions what is left; empty if there is nothing to do
 * @param whole   whether it is the whole image
 * @param refused why there is nothing to do, or null
 * @param left    how many were left out because a person has corrected them
 * @param <T>     an object
 */
public record Choice<T>(List<T> regions, boolean whole, Refusal refused, int left) {

    /** Why there is nothing to do. */
    public enum Refusal {
        /** Nothing was chosen. */
        NOTHING,
        /** Only lines and points. */
        NO_AREA,
        /** Nothing of it lies in the image. */
        OUTSIDE,
        /** Only regions that a person has corrected. */
        CORRECTED,
        /** Only cores that are missing. */
        MISSING,
        /** Several planes at once. */
        PLANES
    }

    /** What a person or a script chose. */
    public static <T> Choice<T> of(View<T> view, Collection<? extends T> chosen, double width, double height) {
        if (chosen.isEmpty())
            return refuse(Refusal.NOTHING, 0);
        List<T> regions = new ArrayList<>();
        for (T object : chosen) {
            if (view.isRoot(object))
                return new Choice<>(List.of(object), true, null, 0);
        }
        Refusal why = Refusal.NO_AREA;
        Envelope image = new Envelope(0, width, 0, height);
        int left = 0;
        for (T object : chosen) {
            Geometry area = view.area(object);
            if (area == null || !(area.getArea() > 0))
                continue;
            if (!crosses(image, area)) {
                why = Refusal.OUTSIDE;
            } else if (view.isMissing(object)) {
                why = Refusal.MISSING;
            } else if (within(view, object)) {
                left++;
            } else {
                regions.add(object);
            }
        }
        if (regions.isEmpty())
            return refuse(left > 0 ? Refusal.CORRECTED : why, left);
        T first = regions.get(0);
        for (T object : regions) {
            if (view.z(object) != view.z(first) || view.t(object) != view.t(first))
                return refuse(Refusal.PLANES, left);
        }
        return new Choice<>(List.copyOf(regions), false, null, left);
    }

    /**
     * What a project's run takes of an image: its TMA cores and annotations, without what a person has corrected, what is to be ignored,
     * and nuclei that are being corrected; the whole image if nothing is left. Of several planes each is a choice of its own.
     */
    public static <T> List<Choice<T>> ofImage(View<T> view, T root, Collection<? extends T> objects, double width, double height) {
        List<List<T>> planes = new ArrayList<>();
        for (T object : objects) {
            if (!view.isRegion(object) || view.isMissing(object) || Marks.isIgnored(view, object))
                continue;
            Geometry area = view.area(object);
            if (area == null || !(area.getArea() > 0) || !crosses(new Envelope(0, width, 0, height), area) || within(view, object))
                continue;
            List<T> same = planes.stream().filter(plane -> view.z(plane.get(0)) == view.z(object) && view.t(plane.get(0)) == view.t(object))
                    .findFirst().orElse(null);
            if (same == null)
                planes.add(same = new ArrayList<>());
            same.add(object);
        }
        if (planes.isEmpty())
            return List.of(new Choice<>(List.of(root), true, null, 0));
        return planes.stream().map(plane -> new Choice<>(List.copyOf(plane), false, null, 0)).toList();
    }

    private static boolean crosses(Envelope image, Geometry area) {
        Envelope shared = image.intersection(area.getEnvelopeInternal());
        // a whole pixel at least
        return !shared.isNull() && shared.getWidth() >= 1 && shared.getHeight() >= 1
                && area.intersects(area.getFactory().toGeometry(shared));
    }

    /** Whether an object is a corrected region or lies below one. */
    static <T> boolean within(View<T> view, T object) {
        for (T at = object; at != null; at = view.parent(at)) {
            if (Marks.isCorrected(view, at))
                return true;
        }
        return false;
    }

    private static <T> Choice<T> refuse(Refusal why, int left) {
        return new Choice<>(List.of(), false, why, left);
    }
}
