package hemalum.rules;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.locationtech.jts.geom.Coordinate;
import org.locationtech.jts.geom.Envelope;
import org.locationtech.jts.geom.Geometry;
import org.locationtech.jts.geom.GeometryFactory;

/**
 * What a run may touch: the one place where it is decided, for every way of running, and tested against {@code tests/cases/}.
 * <p>
 * Only our own earlier nuclei go, inside the run's regions, on its plane, where its tiles are settled, and outside of what a person
 * has corrected. Objects are looked at as they are when the run ends: a person goes on working meanwhile, and an undo puts other
 * objects in the place of those that the run began with.
 *
 * @param removed earlier nuclei that go
 * @param homes   of each new nucleus what it goes below, or null where it is left out
 * @param counts  what there is to say
 * @param regions the chosen regions that are still there
 * @param <T>     an object
 */
public record Replacement<T>(List<T> removed, List<T> homes, Map<Count, Integer> counts, List<T> regions) {

    /** What is counted, to be said. */
    public enum Count {
        /** New nuclei that are put in. */
        PUT,
        /** New nuclei left out since a person has corrected their place. */
        CORRECTED,
        /** New nuclei left out since their place is to be ignored. */
        IGNORED,
        /** New nuclei left out since another that stays is there already. */
        TAKEN,
        /** New nuclei whose region is gone or was reshaped: they go below the image itself. */
        HOMELESS
    }

    /**
     * A region as it was when the run began.
     *
     * @param id    what names it
     * @param area  that was segmented
     * @param depth below the image
     * @param lies  whether it was part of the image's objects: what the viewer showed is not
     */
    public record Region(Object id, Geometry area, int depth, boolean lies) {}

    /**
     * A run.
     *
     * @param regions   empty: the whole image
     * @param z         its plane
     * @param t         its time point
     * @param unsettled boxes (x, y, width, height) of tiles that failed or were not sent
     */
    public record Run(List<Region> regions, int z, int t, List<double[]> unsettled) {

        /** The regions of objects that were chosen. */
        public static <T> List<Region> regions(View<T> view, Collection<? extends T> chosen) {
            List<Region> regions = new ArrayList<>();
            for (T object : chosen) {
                if (!view.isRoot(object))
                    regions.add(new Region(view.id(object), view.area(object), depth(view, object), view.parent(object) != null));
            }
            return regions;
        }
    }

    /** How near to a region's border a nucleus may be, px: QuPath keeps centres as 32-bit numbers. */
    private static final double BORDER = 0.05;
    /** How far the outline of a nucleus that stays may reach, px. */
    private static final double REACH = 256;

    /**
     * What a run changes.
     *
     * @param objects all regions and detections, as they are now
     */
    public static <T> Replacement<T> of(View<T> view, T root, Collection<? extends T> objects, Run run, Found found) {
        boolean whole = run.regions().isEmpty();
        Areas<Region> asked = new Areas<>();
        run.regions().stream().sorted(Comparator.comparingInt((Region it) -> -it.depth()).thenComparingDouble(it -> it.area().getArea()))
                .forEach(region -> asked.add(region, region.area()));
        Areas<Boolean> unsettled = new Areas<>();
        run.unsettled().forEach(box -> unsettled.add(true, box(box)));
        Places<T> now = new Places<>(view, objects, run.z(), run.t());
        Map<Object, T> chosen = now.attached(root, run.regions());
        Areas<T> homes = now.homes(chosen.values());

        Set<Object> fresh = new HashSet<>();
        for (int i = 0; i < found.size(); i++)
            fresh.add(found.id(i));
        List<T> removed = new ArrayList<>(), staying = new ArrayList<>();
        Set<Object> taken = new HashSet<>();
        Envelope near = asked.box();
        near.expandBy(REACH);
        for (T object : objects) {
            if (!view.isDetection(object))
                continue;
            double x = view.x(object), y = view.y(object);
            boolean there = view.z(object) == run.z() && view.t(object) == run.t();
            boolean inside = there && (whole || asked.at(x, y) != null || onBorder(run.regions(), x, y));
            // the same nucleus again, though its centre is now on the other side of a border
            boolean again = there && fresh.contains(view.id(object));
            if (there && (inside || again) && Marks.isOurs(view, object) && !now.isCorrected(object, x, y) && (again || unsettled.at(x, y) == null)) {
                removed.add(object);
            } else {
                taken.add(view.id(object));
                if (there && (whole || near.contains(x, y)) && Marks.isOurs(view, object))
                    staying.add(object);
            }
        }
        Areas<T> bodies = new Areas<>();
        staying.forEach(object -> bodies.add(object, view.area(object)));

        Map<Count, Integer> counts = new EnumMap<>(Count.class);
        List<T> places = new ArrayList<>(found.size());
        for (int i = 0; i < found.size(); i++) {
            double x = found.x(i), y = found.y(i);
            Region region = whole ? null : asked.at(x, y);
            T home = null;
            if (!whole && region == null) {
                // the server's rounding: it belongs to no region
            } else if (now.corrected.at(x, y) != null) {
                counts.merge(Count.CORRECTED, 1, Integer::sum);
            } else if (now.ignored.at(x, y) != null) {
                counts.merge(Count.IGNORED, 1, Integer::sum);
            } else if (taken.contains(found.id(i)) || bodies.at(x, y) != null) {
                counts.merge(Count.TAKEN, 1, Integer::sum);
            } else {
                home = whole ? root : homes.at(x, y);
                if (home == null) {
                    home = root;
                    if (region.lies())
                        counts.merge(Count.HOMELESS, 1, Integer::sum);
                }
                counts.merge(Count.PUT, 1, Integer::sum);
            }
            places.add(home);
        }
        return new Replacement<>(removed, places, counts, List.copyOf(chosen.values()));
    }

    /**
     * What brings back the nuclei that a run replaced.
     *
     * @param out     names of the nuclei that the run put in
     * @param back    the nuclei that it removed
     * @param parents what each of those lay below
     */
    public static <T> Replacement<T> back(View<T> view, T root, Collection<? extends T> objects, int z, int t, Set<Object> out, Found back,
                                          List<Object> parents) {
        Places<T> now = new Places<>(view, objects, z, t);
        Map<Object, T> known = new HashMap<>();
        List<T> removed = new ArrayList<>();
        Set<Object> taken = new HashSet<>();
        for (T object : objects) {
            if (view.isRegion(object)) {
                known.put(view.id(object), object);
            } else if (view.isDetection(object)) {
                boolean goes = out.contains(view.id(object)) && Marks.isOurs(view, object) && view.z(object) == z && view.t(object) == t
                        && !now.isCorrected(object, view.x(object), view.y(object));
                if (goes)
                    removed.add(object);
                else
                    taken.add(view.id(object));
            }
        }
        Map<Count, Integer> counts = new EnumMap<>(Count.class);
        List<T> homes = new ArrayList<>(back.size());
        for (int i = 0; i < back.size(); i++) {
            T home = null;
            if (now.corrected.at(back.x(i), back.y(i)) != null) {
                counts.merge(Count.CORRECTED, 1, Integer::sum);
            } else if (taken.contains(back.id(i))) {
                counts.merge(Count.TAKEN, 1, Integer::sum);
            } else {
                home = known.get(parents.get(i));
                if (home == null || !isAttached(view, root, home))
                    home = root;
                counts.merge(Count.PUT, 1, Integer::sum);
            }
            homes.add(home);
        }
        return new Replacement<>(removed, homes, counts, List.of());
    }

    /** How often something was counted. */
    public int count(Count what) {
        return counts.getOrDefault(what, 0);
    }

    private static boolean onBorder(List<Region> regions, double x, double y) {
        for (Region region : regions) {
            Envelope box = region.area().getEnvelopeInternal();
            if (x < box.getMinX() - BORDER || x > box.getMaxX() + BORDER || y < box.getMinY() - BORDER || y > box.getMaxY() + BORDER)
                continue;
            var point = region.area().getFactory().createPoint(new Coordinate(x, y));
            if (region.area().isWithinDistance(point, BORDER))
                return true;
        }
        return false;
    }

    private static Geometry box(double[] box) {
        return new GeometryFactory().toGeometry(new Envelope(box[0], box[0] + box[2], box[1], box[1] + box[3]));
    }

    private static <T> int depth(View<T> view, T object) {
        int depth = 0;
        for (T at = view.parent(object); at != null; at = view.parent(at))
            depth++;
        return depth;
    }

    private static <T> boolean isAttached(View<T> view, T root, T object) {
        T at = object;
        while (view.parent(at) != null)
            at = view.parent(at);
        return at == root;
    }

    /** The regions of one plane that decide, as they are now. */
    private static final class Places<T> {
        final View<T> view;
        final Areas<T> corrected = new Areas<>(), ignored = new Areas<>();
        private final List<T> regions = new ArrayList<>();
        private final int z, t;

        Places(View<T> view, Collection<? extends T> objects, int z, int t) {
            this.view = view;
            this.z = z;
            this.t = t;
            for (T object : objects) {
                if (!view.isRegion(object))
                    continue;
                regions.add(object);
                if (!here(object))
                    continue;
                if (Marks.isCorrected(view, object))
                    corrected.add(object, view.area(object));
                if (Marks.isIgnored(view, object))
                    ignored.add(object, view.area(object));
            }
        }

        private boolean here(T object) {
            return view.z(object) == z && view.t(object) == t;
        }

        /** The chosen regions that are still part of the image. */
        Map<Object, T> attached(T root, List<Region> chosen) {
            Set<Object> names = new HashSet<>();
            chosen.forEach(region -> names.add(region.id()));
            Map<Object, T> found = new LinkedHashMap<>();
            for (T object : regions) {
                if (names.contains(view.id(object)) && here(object) && isAttached(view, root, object))
                    found.put(view.id(object), object);
            }
            return found;
        }

        /** The deepest comes first, and of equally deep ones the smallest. */
        Areas<T> homes(Collection<T> some) {
            Areas<T> areas = new Areas<>();
            some.stream().filter(object -> view.area(object) != null)
                    .sorted(Comparator.comparingInt((T it) -> -depth(view, it)).thenComparingDouble(it -> view.area(it).getArea()))
                    .forEach(object -> areas.add(object, view.area(object)));
            return areas;
        }

        boolean isCorrected(T object, double x, double y) {
            return corrected.at(x, y) != null || Choice.within(view, view.parent(object));
        }
    }
}
