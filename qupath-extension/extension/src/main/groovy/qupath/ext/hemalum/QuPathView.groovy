package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.rules.View
import org.locationtech.jts.geom.Geometry
import qupath.lib.objects.PathCellObject
import qupath.lib.objects.PathObject
import qupath.lib.objects.TMACoreObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.roi.interfaces.ROI

/** QuPath's objects as the rules look at them. */
@CompileStatic
final class QuPathView implements View<PathObject> {

    static final QuPathView IT = new QuPathView()

    private QuPathView() {}

    /** Regions, TMA cores and detections of an image. */
    static List<PathObject> objects(PathObjectHierarchy hierarchy) {
        List<PathObject> all = new ArrayList<>(regions(hierarchy))
        all.addAll(hierarchy.detectionObjects)
        all
    }

    /** Annotations and TMA cores of an image. */
    static List<PathObject> regions(PathObjectHierarchy hierarchy) {
        List<PathObject> all = new ArrayList<>(hierarchy.annotationObjects)
        hierarchy.TMAGrid?.TMACoreList?.each { TMACoreObject core -> all.add(core) }
        all
    }

    /** The outline of a nucleus, also of a cell's. */
    static ROI outline(PathObject object) {
        object instanceof PathCellObject ? ((PathCellObject) object).nucleusROI ?: object.ROI : object.ROI
    }

    @Override
    Object id(PathObject object) {
        object.ID
    }

    @Override
    boolean isRoot(PathObject object) {
        object.isRootObject()
    }

    @Override
    boolean isDetection(PathObject object) {
        object.isDetection()
    }

    @Override
    boolean isRegion(PathObject object) {
        object.isAnnotation() || object.isTMACore()
    }

    @Override
    boolean isCore(PathObject object) {
        object.isTMACore()
    }

    @Override
    boolean isMissing(PathObject object) {
        object instanceof TMACoreObject && ((TMACoreObject) object).isMissing()
    }

    @Override
    String className(PathObject object) {
        object.pathClass?.toString()
    }

    @Override
    String metadata(PathObject object, String key) {
        object.metadata[key]
    }

    @Override
    boolean isMeasured(PathObject object, String name) {
        !Double.isNaN(object.measurementList.get(name))
    }

    @Override
    int z(PathObject object) {
        object.ROI == null ? 0 : object.ROI.imagePlane.z
    }

    @Override
    int t(PathObject object) {
        object.ROI == null ? 0 : object.ROI.imagePlane.t
    }

    @Override
    double x(PathObject object) {
        outline(object).centroidX
    }

    @Override
    double y(PathObject object) {
        outline(object).centroidY
    }

    @Override
    PathObject parent(PathObject object) {
        object.parent
    }

    @Override
    Geometry area(PathObject object) {
        ROI roi = object.isRootObject() ? null : outline(object)
        roi != null && roi.isArea() ? roi.geometry : null
    }
}
