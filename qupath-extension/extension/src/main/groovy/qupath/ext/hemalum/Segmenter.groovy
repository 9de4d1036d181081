package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.FoundNuclei
import hemalum.client.NucleiClient
import hemalum.client.Opened
import hemalum.client.RunControl
import hemalum.client.RunListener
import hemalum.client.RunSummary
import hemalum.client.SegmentSpec
import hemalum.client.ServiceException
import java.awt.image.BufferedImage
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

/** Segments images with fixed settings: the same for a click, a script and a project. Needs no window. */
@CompileStatic
final class Segmenter {

    private static final Logger logger = LoggerFactory.getLogger(Segmenter)

    /** What a run gave. */
    @CompileStatic
    static final class Result {
        final RunSummary summary
        final Opened plan
        final int nuclei
        final Nuclei.Replaced replaced
        /** Whether the image had changes, before the nuclei came, that were not saved. */
        final boolean unsaved

        Result(RunSummary summary, Opened plan, int nuclei, Nuclei.Replaced replaced, boolean unsaved) {
            this.summary = summary
            this.plan = plan
            this.nuclei = nuclei
            this.replaced = replaced
            this.unsaved = unsaved
        }
    }

    final Settings settings

    /** Use {@link Hemalum#builder}. */
    Segmenter(Settings settings) {
        this.settings = settings
    }

    /**
     * Segments the regions of these objects; overlapping ones are segmented once, and a nucleus goes to the deepest that contains it.
     * Adds a step to the image's workflow, as do the other ways to start a run.
     *
     * @param parents annotations or TMA cores; the root object for the whole image
     * @throws ServiceException with a sentence for the user
     */
    Result segment(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents) {
        run(imageData, Where.of(parents), parents, new Monitor() {}, new RunControl(), null)
    }

    /** Segments the regions of what is selected. */
    Result segmentSelected(ImageData<BufferedImage> imageData) {
        def selected = imageData.hierarchy.selectionModel.selectedObjects.findAll { PathObject it ->
            it.hasROI() && it.ROI.isArea() && (it.isAnnotation() || it.isTMACore())
        }
        if (selected.isEmpty())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.nothing.selected'), null)
        segment(imageData, selected)
    }

    /** Segments the whole image. */
    Result segmentImage(ImageData<BufferedImage> imageData) {
        segment(imageData, [imageData.hierarchy.rootObject])
    }

    /** Segments a rectangle in level-0 px, of one plane of the image; its nuclei lie below no annotation. */
    Result segmentRegion(ImageData<BufferedImage> imageData, double x, double y, double width, double height, int z = 0, int t = 0) {
        segment(imageData, [rectangle(x, y, width, height, ImagePlane.getPlane(z, t))])
    }

    /** A region for {@link #run} that is not part of the hierarchy. */
    static PathObject rectangle(double x, double y, double width, double height, ImagePlane plane) {
        PathObjects.createAnnotationObject(ROIs.createRectangleROI(x, y, width, height, plane))
    }

    /**
     * The whole of a run; blocks, and is cancelled by an interrupt.
     *
     * @param where   how the regions were chosen, for the workflow
     * @param monitor told what happens
     * @param control ends it early
     * @param centre  x, y from which tiles are sent outward, or null
     */
    Result run(ImageData<BufferedImage> imageData, Where where, Collection<? extends PathObject> parents, Monitor monitor, RunControl control,
               double[] centre) {
        boolean whole = parents.any { PathObject it -> it.isRootObject() }
        Regions regions = whole ? null : new Regions(parents)
        ImagePlane plane = whole ? ImagePlane.defaultPlane : parents.first().ROI.imagePlane
        if (parents.any { PathObject it -> !it.isRootObject() && it.ROI.imagePlane != plane })
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.several.planes'), null)
        def collector = new Collector(monitor)
        RunSummary summary
        monitor.stage(Strings.get('stage.connecting'))
        NucleiClient client = Connections.open(settings)
        try {
            monitor.stage(Strings.get('stage.overview'))
            SegmentSpec wanted = spec(imageData, whole ? [] : Regions.polygons(parents), plane, centre)
            def tiles = new SlideTiles(imageData.server, plane)
            summary = there(client, wanted, imageData, tiles, collector, control) ?: client.segment(wanted, tiles, collector, control)
        } catch (ServiceException e) {
            // what is final stays final: the user may keep it although the server is gone
            if (e.kind() != ServiceException.Kind.LOST || collector.batches.isEmpty() || !monitor.keepAfter(e))
                throw e
            Map<Integer, String> failed = [:]
            collector.plan.tiles().each { Opened.Tile tile ->
                if (!collector.settled.contains(tile.index()))
                    failed[tile.index()] = e.message
            }
            summary = new RunSummary(0, collector.plan.tiles().size(), 0, failed, [:], true)
        } finally {
            client.close()
        }
        Collection<? extends PathObject> homes = whole ? [imageData.hierarchy.rootObject] : parents
        def result = finish(imageData, homes, regions, plane, collector, summary, monitor)
        record(imageData, where, homes, result)
        result
    }

    /** Adds the run to the image's history, with what selects its regions again. */
    private void record(ImageData<BufferedImage> imageData, Where where, Collection<? extends PathObject> parents, Result result) {
        def used = settings.copy()
        // the model by name: another server may have another default
        def model = result.plan.model()
        used.model = model.id()
        Map<String, Object> parameters = [model: "${model.id()} ${model.version()}".toString(), sha256: model.sha256(), where: where.name(),
                probability: result.plan.foreground(), stain: result.plan.stain(), stainMatrix: result.plan.stainMatrix().toList().toString(),
                device: result.plan.device(), nuclei: result.nuclei, failedTiles: result.summary.failed().size()] as Map<String, Object>
        imageData.historyWorkflow.addStep(new DefaultScriptableWorkflowStep(Strings.get('step'), parameters, where.script(imageData, parents, used)))
    }

    /** A run on a file that the server reads itself; null where it does not see the same image. */
    private RunSummary there(NucleiClient client, SegmentSpec wanted, ImageData<BufferedImage> imageData, SlideTiles tiles, Collector collector,
                             RunControl control) {
        if (Connections.isLocal(settings) || wanted.image().z() != 0 || wanted.image().t() != 0)
            return null
        def info = client.info()
        String path = SharedSlide.path(imageData.server, info.slideFolders(), Preferences.sharedFolders.get())
        if (path == null)
            return null
        String identity = tiles.overview(info.overviewSide()).identity(imageData.server.width, imageData.server.height)
        try {
            collector.monitor.stage(Strings.get('stage.shared'))
            return client.segmentSlide(wanted, path, identity, collector, control)
        } catch (ServiceException e) {
            if (collector.plan != null || e.kind() != ServiceException.Kind.REFUSED && e.kind() != ServiceException.Kind.MODEL_MISSING)
                throw e
            // not there, or another image: its pixels are sent instead
            logger.info('Hemalum: {} is not read by the server: {}', path, e.message)
            return null
        }
    }

    private Result finish(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents, Regions regions, ImagePlane plane,
                          Collector collector, RunSummary summary, Monitor monitor) {
        monitor.stage(Strings.get('stage.objects'))
        PathClass pathClass = settings.className ? PathClass.fromString(settings.className) : null
        Map<PathObject, List<PathObject>> byParent = new LinkedHashMap<>()
        parents.each { PathObject parent -> byParent[home(imageData, parent)] = [] }
        def corrected = new Regions(imageData.hierarchy.annotationObjects.findAll { PathObject it ->
            Corrections.isComplete(it) && !parents.contains(it) && it.ROI.isArea()
        })
        for (FoundNuclei batch : collector.batches) {
            List<PathObject> objects = Nuclei.detections(batch, plane, pathClass)
            for (int i = 0; i < objects.size(); i++) {
                PathObject owner = regions == null ? parents.first() : regions.ownerOf(batch.centroids()[2 * i], batch.centroids()[2 * i + 1])
                if (owner != null && corrected.ownerOf(batch.centroids()[2 * i], batch.centroids()[2 * i + 1]) == null)
                    byParent[home(imageData, owner)].add(objects[i])
            }
        }
        byParent.values().each { List<PathObject> objects ->
            // tiles arrive in any order; the hierarchy must not depend on it
            objects.sort { PathObject a, PathObject b ->
                int rows = Double.compare(a.ROI.centroidY, b.ROI.centroidY)
                rows != 0 ? rows : Double.compare(a.ROI.centroidX, b.ROI.centroidX)
            }
        }
        if (settings.cellExpansion != null) {
            monitor.stage(Strings.get('stage.cells'))
            byParent = Cells.grow(imageData, byParent, settings, micronsPerPixel(imageData, settings))
        }
        int count = (byParent.values()*.size().sum() ?: 0) as int
        monitor.stage(Strings.get('stage.inserting', count))
        boolean unsaved = imageData.changed
        Nuclei.Replaced replaced = Nuclei.insert(imageData.hierarchy, byParent, regions, this)
        imageData.changed = true
        logger.info('Hemalum: {} nuclei, {} of {} tiles failed, model {} {}, {}', count, summary.failed().size(), summary.tiles(),
                collector.plan.model().id(), collector.plan.model().version(), collector.plan.device())
        new Result(summary, collector.plan, count, replaced, unsaved)
    }

    /** Where the nuclei of a region go: a region that is not part of the hierarchy only says where to look. */
    private static PathObject home(ImageData<BufferedImage> imageData, PathObject region) {
        region.parent == null ? imageData.hierarchy.rootObject : region
    }

    private SegmentSpec spec(ImageData<BufferedImage> imageData, List<List<double[]>> regions, ImagePlane plane, double[] centre) {
        def server = imageData.server
        if (!server.isRGB())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.not.rgb'), null)
        double mpp = micronsPerPixel(imageData, settings)
        def image = new SegmentSpec.Image(server.width, server.height, mpp, settings.pixelSize == null ? 'QuPath' : 'given in QuPath',
                server.metadata.name ?: '', plane.z, plane.t)
        new SegmentSpec(settings.model, image, regions, settings.probability, settings.minArea, settings.partArea, settings.stain,
                settings.stainMatrix, settings.measure, centre != null, false, settings.encoding, centre)
    }

    /**
     * µm per pixel, given or of the image.
     *
     * @throws ServiceException if neither is known: a guess would make wrong nuclei without anyone noticing
     */
    static double micronsPerPixel(ImageData<BufferedImage> imageData, Settings settings) {
        if (settings.pixelSize != null)
            return settings.pixelSize
        PixelCalibration calibration = imageData.server.pixelCalibration
        if (!calibration.hasPixelSizeMicrons())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.no.pixel.size'), null)
        calibration.averagedPixelSizeMicrons
    }

    /** Keeps what comes in, and passes it on. */
    @CompileStatic
    private static final class Collector implements RunListener {
        final Monitor monitor
        final List<FoundNuclei> batches = Collections.synchronizedList([])
        final Set<Integer> settled = Collections.synchronizedSet(new HashSet<Integer>())
        volatile Opened plan
        private int read, sent

        Collector(Monitor monitor) {
            this.monitor = monitor
        }

        @Override
        void opened(Opened opened) {
            plan = opened
            monitor.opened(opened)
            monitor.stage(Strings.get('stage.segmenting'))
        }

        @Override
        void nuclei(FoundNuclei found) {
            batches.add(found)
            monitor.found(found)
        }

        @Override
        void read(int index) {
            read++
        }

        @Override
        void sent(int index) {
            sent++
        }

        @Override
        void settled(int index) {
            settled.add(index)
        }

        @Override
        void failed(int index, String reason) {
            logger.warn('Hemalum: tile {} failed: {}', index, reason)
            monitor.failed(plan.tiles()[index], reason)
        }

        @Override
        void progress(int now, int total, long count, double seconds) {
            monitor.progress(read, sent, now, settled.size(), total, count, seconds)
        }
    }
}
