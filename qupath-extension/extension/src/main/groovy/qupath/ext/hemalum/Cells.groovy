package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicReference
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.analysis.features.ObjectMeasurements
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.TransformedServerBuilder
import qupath.lib.objects.CellTools
import qupath.lib.objects.PathObject

/** Cells by expansion of nuclei. */
@CompileStatic
final class Cells {

    /** No cell becomes larger than so many nuclei. */
    private static final double NUCLEUS_SCALE = 4.0d

    private static final Logger logger = LoggerFactory.getLogger(Cells)

    private Cells() {}

    /**
     * Grows every nucleus into a cell where there is room; cells of one image never overlap.
     *
     * @return the cells by parent, with the ids and measurements of their nuclei
     */
    static Map<PathObject, List<PathObject>> grow(ImageData<BufferedImage> imageData, Map<PathObject, List<PathObject>> byParent,
                                                  Settings settings, double mpp) {
        Map<PathObject, List<PathObject>> cells = new LinkedHashMap<>()
        byParent.each { PathObject parent, List<PathObject> nuclei ->
            // the cell takes over its nucleus's list of measurements, by which it is known
            Map<Object, PathObject> owners = new IdentityHashMap<>()
            nuclei.each { PathObject nucleus -> owners[nucleus.measurementList] = nucleus }
            List<PathObject> grown = nuclei.isEmpty() ? [] : CellTools.detectionsToCells(nuclei, settings.cellExpansion / mpp as double, NUCLEUS_SCALE)
            Set<PathObject> covered = Collections.newSetFromMap(new IdentityHashMap<PathObject, Boolean>())
            grown.each { PathObject cell ->
                PathObject nucleus = owners[cell.measurementList]
                if (nucleus != null) {
                    cell.setID(nucleus.ID)
                    covered.add(nucleus)
                }
            }
            // a nucleus that cannot grow stays what it is: none is lost
            cells[parent] = grown + nuclei.findAll { PathObject nucleus -> !covered.contains(nucleus) }
        }
        if (settings.cellMeasurements)
            measure(imageData, cells.values().flatten() as List<PathObject>, mpp)
        cells
    }

    private static void measure(ImageData<BufferedImage> imageData, List<PathObject> cells, double mpp) {
        def stains = imageData.colorDeconvolutionStains
        if (stains == null) {
            logger.warn('Hemalum: cells are not measured, since the image has no stain vectors; set its type to Brightfield (H&E)')
            return
        }
        ImageServer<BufferedImage> densities = new TransformedServerBuilder(imageData.server).deconvolveStains(stains, 1, 2).build()
        double downsample = Math.max(1.0d, 0.5d / mpp)
        def statistics = [ObjectMeasurements.Measurements.MEAN, ObjectMeasurements.Measurements.STD_DEV]
        def compartments = [ObjectMeasurements.Compartments.NUCLEUS, ObjectMeasurements.Compartments.CYTOPLASM, ObjectMeasurements.Compartments.CELL]
        def failure = new AtomicReference<Exception>()
        cells.parallelStream().filter { PathObject it -> it.isCell() }.forEach { PathObject cell ->
            try {
                ObjectMeasurements.addIntensityMeasurements(densities, cell, downsample, statistics, compartments)
            } catch (IOException e) {
                failure.set(e)
            }
        }
        if (failure.get() != null)
            throw failure.get()
    }
}
