package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.rules.Measurements
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicReference
import org.locationtech.jts.algorithm.MinimumBoundingCircle
import org.locationtech.jts.algorithm.MinimumDiameter
import org.locationtech.jts.geom.Geometry
import qupath.lib.analysis.features.ObjectMeasurements
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.images.servers.TransformedServerBuilder
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.roi.interfaces.ROI

/** What is measured here rather than by the server; names are those of {@link Measurements}. */
@CompileStatic
final class Measuring {

    private Measuring() {}

    /** Shapes as QuPath's own features define them. */
    static void shapes(List<PathObject> objects, double mpp) {
        def calibration = new PixelCalibration.Builder().pixelSizeMicrons(mpp, mpp).build()
        objects.parallelStream().forEach { PathObject object ->
            if (object.isCell())
                ObjectMeasurements.addShapeMeasurements(object, calibration)
            else if (Double.isNaN(object.measurementList.get(Measurements.MAX_DIAMETER)))
                diameters(object, mpp)
        }
    }

    private static void diameters(PathObject nucleus, double mpp) {
        Geometry outline = nucleus.ROI.geometry
        nucleus.measurementList.put(Measurements.MAX_DIAMETER, 2 * mpp * new MinimumBoundingCircle(outline).radius as double)
        nucleus.measurementList.put(Measurements.MIN_DIAMETER, mpp * new MinimumDiameter(outline).length as double)
        nucleus.measurementList.close()
    }

    /**
     * Optical densities of nuclei, and of the compartments of cells, by QuPath with the image's own stain vectors.
     *
     * @return false where the image has none
     */
    static boolean densities(ImageData<BufferedImage> imageData, List<PathObject> objects, double mpp) {
        def stains = imageData.colorDeconvolutionStains
        if (stains == null)
            return false
        ImageServer<BufferedImage> densities = new TransformedServerBuilder(imageData.server).deconvolveStains(stains, 1, 2).build()
        double downsample = Math.max(1.0d, 0.5d / mpp)
        def statistics = [ObjectMeasurements.Measurements.MEAN, ObjectMeasurements.Measurements.STD_DEV, ObjectMeasurements.Measurements.MAX,
                ObjectMeasurements.Measurements.MIN]
        def ofNucleus = [ObjectMeasurements.Compartments.NUCLEUS]
        def all = ofNucleus + [ObjectMeasurements.Compartments.CYTOPLASM, ObjectMeasurements.Compartments.CELL]
        def failure = new AtomicReference<Exception>()
        objects.parallelStream().forEach { PathObject object ->
            ROI outline = QuPathView.outline(object)
            // of a cell that is all nucleus, QuPath gives the same names as of any other
            PathObject measured = object.isCell() ? object : PathObjects.createCellObject(outline, outline, null, object.measurementList)
            try {
                ObjectMeasurements.addIntensityMeasurements(densities, measured, downsample, statistics, object.isCell() ? all : ofNucleus)
            } catch (IOException e) {
                failure.set(e)
            }
        }
        if (failure.get() != null)
            throw failure.get()
        true
    }

    /** How many of our nuclei lie in a region, and per mm²; where a run was not complete the old numbers go. */
    static void counts(Collection<PathObject> regions, double mpp, boolean complete) {
        regions.each { PathObject region ->
            def list = region.measurementList
            list.removeAll(Measurements.COUNT, Measurements.DENSITY)
            if (complete) {
                int count = below(region)
                list.put(Measurements.COUNT, count as double)
                list.put(Measurements.DENSITY, count / (region.ROI.getArea() * mpp * mpp / 1e6) as double)
            }
            list.close()
        }
    }

    private static int below(PathObject object) {
        int count = 0
        object.childObjects.each { PathObject child -> count += (Nuclei.ours(child) ? 1 : 0) + below(child) }
        count
    }
}
