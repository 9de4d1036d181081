package hemalum.rules;

import java.util.ArrayList;
import java.util.List;
import org.locationtech.jts.algorithm.locate.IndexedPointInAreaLocator;
import org.locationtech.jts.geom.Coordinate;
import org.locationtech.jts.geom.Envelope;
import org.locationtech.jts.geom.Geometry;
import org.locationtech.jts.geom.Location;
import org.locationtech.jts.index.strtree.STRtree;

/**
 * Which of many areas a point lies in; of several the one that was added first.
 *
 * @param <V> what an area stands for
 */
final class Areas<V> {

    private record Area<V>(int order, V value, Envelope box, IndexedPointInAreaLocator locator) {}

    private final List<Area<V>> all = new ArrayList<>();
    private STRtree tree;

    void add(V value, Geometry geometry) {
        if (geometry == null || geometry.isEmpty())
            return;
        all.add(new Area<>(all.size(), value, geometry.getEnvelopeInternal(), new IndexedPointInAreaLocator(geometry)));
        tree = null;
    }

    /** What the point lies in, its border included, or null. */
    V at(double x, double y) {
        Area<V> best = null;
        for (Area<V> area : near(new Envelope(x, x, y, y))) {
            if ((best == null || area.order < best.order) && area.box.contains(x, y)
                    && area.locator.locate(new Coordinate(x, y)) != Location.EXTERIOR)
                best = area;
        }
        return best == null ? null : best.value;
    }

    /** Box of all areas. */
    Envelope box() {
        Envelope box = new Envelope();
        all.forEach(area -> box.expandToInclude(area.box));
        return box;
    }

    @SuppressWarnings("unchecked")
    private List<Area<V>> near(Envelope box) {
        // a tree is worth its making from a few dozen on
        if (all.size() < 32)
            return all;
        if (tree == null) {
            tree = new STRtree();
            all.forEach(area -> tree.insert(area.box, area));
            tree.build();
        }
        return tree.query(box);
    }
}
