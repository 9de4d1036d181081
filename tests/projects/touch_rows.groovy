// Follows the rule that scripts and the project command carry (put before this text) through rows of tests/cases/touch.json.
// args[0]: the rows.  Prints RESULT and what each row gave.
import com.google.gson.Gson
import com.google.gson.JsonParser
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def uuid = { String name ->
    name.length() == 36 ? UUID.fromString(name) : UUID.nameUUIDFromBytes(name.bytes)
}
def rows = new Gson().fromJson(new File(args[0]).getText('UTF-8'), List)
def results = [:]
for (row in rows) {
    def hierarchy = new PathObjectHierarchy(), known = [image: hierarchy.rootObject], names = [:]
    def objects = row['at the end'] ?: row.objects
    objects.each {
        def plane = ImagePlane.getPlane((it.z ?: 0) as int, (it.t ?: 0) as int)
        def box = it.box, at = it.at
        def roi = box == null ? ROIs.createPointsROI((at ?: [1, 1])[0] as double, (at ?: [1, 1])[1] as double, plane)
            : ROIs.createRectangleROI(box[0], box[1], box[2], box[3], plane)
        def kind = it.kind ?: 'detection'
        def made = kind == 'annotation' ? PathObjects.createAnnotationObject(roi)
            : kind == 'cell' ? PathObjects.createCellObject(roi, roi) : PathObjects.createDetectionObject(roi)
        made.setID(uuid(it.id))
        if (it.class)
            made.setPathClass(PathClass.fromString(it['class']))
        it.metadata?.each { key, value -> made.metadata[key] = value }
        it.measurements?.each { key, value -> made.measurementList.put(key, value as double) }
        known[it.id] = made
        names[made.ID] = it.id
    }
    objects.each { known[it.parent ?: 'image'].addChildObject(known[it.id]) }
    def before = new ArrayList(hierarchy.detectionObjects)
    def nuclei = row.found.collect {
        def made = PathObjects.createDetectionObject(ROIs.createRectangleROI(it.at[0] - 2, it.at[1] - 2, 4, 4, ImagePlane.defaultPlane))
        made.setID(uuid(it.id))
        names[made.ID] = it.id
        made
    }
    def counts = Replacing.replace(hierarchy, nuclei, row.unsettled ?: [])
    def now = new ArrayList(hierarchy.detectionObjects)
    results[row['case']] = [
        removed: before.findAll { old -> !now.any { it.is(old) } }.collect { names[it.ID] }.sort(),
        put: nuclei.findAll { made -> now.any { it.is(made) } && made.parent.isRootObject() }.collect { names[it.ID] }.sort(),
        counts: counts, said: Replacing.left(counts)]
}
println 'RESULT ' + new Gson().toJson(results)
