"""What bringing nuclei into an image of a project may touch, as Groovy: written into scripts, and run through paquo.

The rules are those of QuPath's extension for a run on the whole image, decided by the same rows (`tests/cases`): our
own earlier nuclei go, on the same plane, where tiles are settled, and nothing goes or comes in a region that a person
has corrected.

>>> print(quoted("it's ${1}"))
'it\\'s ${1}'
"""

from __future__ import annotations

RULE = r"""import org.locationtech.jts.algorithm.locate.IndexedPointInAreaLocator
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Envelope
import org.locationtech.jts.geom.GeometryFactory
import org.locationtech.jts.geom.Location
import org.locationtech.jts.index.strtree.STRtree

/** Which of many areas a point lies in, borders included. */
class Areas {
    private final STRtree tree = new STRtree()

    void add(geometry) {
        if (geometry != null && !geometry.isEmpty())
            tree.insert(geometry.envelopeInternal, new IndexedPointInAreaLocator(geometry))
    }

    boolean has(double x, double y) {
        def place = new Coordinate(x, y)
        tree.query(new Envelope(place)).any { it.locate(place) != Location.EXTERIOR }
    }
}

/** What a run of Hemalum's on a whole image may touch, as in QuPath's extension. */
class Replacing {
    static boolean measured(object, String name) {
        !Double.isNaN(object.measurementList.get(name) as double)
    }

    static boolean ours(object) {
        object.isDetection() && (measured(object, 'Hemalum: Probability') || object.metadata['hemalum.run'] != null ||
            object.metadata['hemalum.probability'] != null ||
            measured(object, 'Detection probability') && object.ID.version() == 5)
    }

    static boolean corrected(object) {
        if (!object.isAnnotation() && !object.isTMACore())
            return false
        def said = object.metadata['hemalum.corrected']
        said != null ? said != 'no' : object.pathClass?.toString() == 'Complete'
    }

    static boolean ignored(object) {
        def name = object.pathClass?.toString()
        name != null && name.endsWith('*') && name.substring(name.lastIndexOf(':') + 1).strip() != 'Region*'
    }

    static boolean belowCorrected(object) {
        for (def at = object; at != null; at = at.parent) {
            if (corrected(at))
                return true
        }
        false
    }

    static outline(object) {
        object.isCell() ? object.nucleusROI ?: object.ROI : object.ROI
    }

    static area(object) {
        def roi = outline(object)
        roi != null && roi.isArea() ? roi.geometry : null
    }

    /**
     * Puts nuclei in the place of our earlier ones; returns how many, and why others were left out.
     *
     * @param unsettled x, y, width, height of areas where nothing could be computed
     */
    static Map replace(hierarchy, nuclei, unsettled, int z = 0, int t = 0) {
        def here = { it.ROI != null && it.ROI.z == z && it.ROI.t == t }
        def corrected = new Areas(), ignored = new Areas(), open = new Areas(), bodies = new Areas()
        def regions = new ArrayList(hierarchy.annotationObjects)
        hierarchy.TMAGrid?.TMACoreList?.each { regions.add(it) }
        regions.findAll(here).each {
            if (Replacing.corrected(it))
                corrected.add(area(it))
            if (Replacing.ignored(it))
                ignored.add(area(it))
        }
        unsettled.each {
            def box = new Envelope(it[0], it[0] + it[2], it[1], it[1] + it[3])
            open.add(new GeometryFactory().toGeometry(box))
        }
        def fresh = nuclei.collect { it.ID } as HashSet, taken = new HashSet(), removed = []
        new ArrayList(hierarchy.detectionObjects).each {
            def at = outline(it)
            boolean own = here(it) && ours(it), again = fresh.contains(it.ID)
            if (own && !corrected.has(at.centroidX, at.centroidY) && !belowCorrected(it.parent) &&
                    (again || !open.has(at.centroidX, at.centroidY))) {
                removed.add(it)
            } else {
                taken.add(it.ID)
                if (own)
                    bodies.add(area(it))
            }
        }
        def counts = [put: 0, corrected: 0, ignored: 0, taken: 0], put = []
        nuclei.each {
            def at = outline(it)
            if (corrected.has(at.centroidX, at.centroidY)) {
                counts.corrected++
            } else if (ignored.has(at.centroidX, at.centroidY)) {
                counts.ignored++
            } else if (taken.contains(it.ID) || bodies.has(at.centroidX, at.centroidY)) {
                counts.taken++
            } else {
                put.add(it)
            }
        }
        counts.put = put.size()
        removed.groupBy { it.parent }.each { parent, some ->
            // clearing is fast, removing one by one is not
            if (some.size() == parent.nChildObjects())
                parent.clearChildObjects()
            else
                parent.removeChildObjects(some)
        }
        hierarchy.rootObject.addChildObjects(put)
        hierarchy.fireHierarchyChangedEvent(Replacing)
        counts
    }

    /** What was left out, as the end of a sentence. */
    static String left(Map counts) {
        def why = [corrected: 'in corrected regions', ignored: 'in ignored regions', taken: 'where others stay']
        def said = why.findAll { counts[it.key] }.collect { counts[it.key] + ' left out ' + it.value }
        said ? ', ' + said.join(', ') : ''
    }
}
"""


def quoted(text: str) -> str:
    """A string of Groovy; nothing in it is executed, and the script stays ASCII."""
    plain = {"\\": "\\\\", "'": "\\'"}
    units = text.encode("utf-16-be", "surrogatepass")
    parts = []
    for high, low in zip(units[::2], units[1::2], strict=True):
        character = chr(high << 8 | low)
        parts.append(plain.get(character) or (character if " " <= character <= "~" else f"\\u{high << 8 | low:04x}"))
    return "'" + "".join(parts) + "'"
