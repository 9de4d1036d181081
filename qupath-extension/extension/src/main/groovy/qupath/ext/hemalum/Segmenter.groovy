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
import hemalum.rules.Choice
import hemalum.rules.Replacement
import java.awt.image.BufferedImage
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

/** Segments images with fixed settings: the same for a click, a script and a project. Needs no window. */
@CompileStatic
final class Segmenter {

    private static final Logger logger = LoggerFactory.getLogger(Segmenter)

    /** Pixels of which one side is longer by more than so much are not square. */
    private static final double SQUARE = 0.01d

    /** What a run gave. */
    @CompileStatic
    static final class Result {
        final RunSummary summary
        final Opened plan
        final int nuclei
        final Nuclei.Replaced replaced
        /** Whether the image had changes, before the nuclei came, that were not saved. */
        final boolean unsaved
        /** Sentences about what was left out or went elsewhere. */
        final List<String> notices

        Result(RunSummary summary, Opened plan, int nuclei, Nuclei.Replaced replaced, boolean unsaved, List<String> notices) {
            this.summary = summary
            this.plan = plan
            this.nuclei = nuclei
            this.replaced = replaced
            this.unsaved = unsaved
            this.notices = notices
        }

        /** Whether every tile was segmented, also where the user stopped a run that had nothing left to do. */
        boolean isComplete() {
            summary.failed().isEmpty()
        }
    }

    final Settings settings

    /** Use {@link Hemalum#builder}. */
    Segmenter(Settings settings) {
        this.settings = settings
    }

    /**
     * Segments the regions of these objects; overlapping ones are segmented once, and a nucleus goes to the deepest that contains it.
     * What a person has corrected is left out. Adds a step to the image's workflow, as do the other ways to start a run.
     *
     * @param parents annotations or TMA cores; the root object for the whole image
     * @throws ServiceException with a sentence for the user
     */
    Result segment(ImageData<BufferedImage> imageData, Collection<? extends PathObject> parents) {
        run(imageData, Where.of(parents), parents, new LogMonitor(), new RunControl(), null)
    }

    /** Segments the regions of what is selected. */
    Result segmentSelected(ImageData<BufferedImage> imageData) {
        segment(imageData, Where.SELECTED.parents(imageData, null))
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
        def server = imageData.server
        Choice<PathObject> choice = Choice.of(QuPathView.IT, parents, server.width, server.height)
        if (choice.refused() != null)
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('refused.' + choice.refused().name().toLowerCase(Locale.ROOT)), null)
        ImagePlane plane = choice.whole() ? ImagePlane.defaultPlane : choice.regions().first().ROI.imagePlane
        def regions = Replacement.Run.regions(QuPathView.IT, choice.regions())
        // before the run: a person may go on working, and what is recorded is what was asked for
        String script = where.script(imageData, choice.regions(), settings), asked = Done.regions(choice.regions())
        def collector = new Collector(monitor)
        RunSummary summary
        monitor.stage(Strings.get('stage.connecting'))
        NucleiClient client = Connections.open(settings)
        try {
            ready(client, monitor, control)
            monitor.stage(Strings.get('stage.overview'))
            SegmentSpec wanted = spec(imageData, choice.whole() ? [] : Regions.polygons(choice.regions()), plane, centre)
            def tiles = new SlideTiles(server, plane, control)
            summary = there(client, wanted, imageData, tiles, collector, control) ?: client.segment(wanted, tiles, collector, control)
        } catch (RuntimeException e) {
            // what is final stays final, whatever went wrong; only who cancels wants nothing of it
            if (control.isCancelled() || Thread.currentThread().isInterrupted() || collector.batches.isEmpty() || !monitor.keepAfter(e))
                throw e
            Map<Integer, String> failed = [:]
            collector.plan.tiles().each { Opened.Tile tile ->
                if (!collector.settled.contains(tile.index()))
                    failed[tile.index()] = e.message ?: e.toString()
            }
            summary = new RunSummary(0, collector.plan.tiles().size(), failed, [:], true)
        } finally {
            client.close()
        }
        List<double[]> unsettled = []
        collector.plan.tiles().each { Opened.Tile tile ->
            if (summary.failed().containsKey(tile.index()) || !summary.complete() && !collector.settled.contains(tile.index()))
                unsettled.add(tile.core())
        }
        def result = finish(imageData, new Replacement.Run(regions, plane.z, plane.t, unsettled), choice, plane, collector, summary, monitor)
        record(imageData, where, script, asked, result)
        result
    }

    /** The first run of a server waits until it has loaded, which may take a minute: it is said what for. */
    private static void ready(NucleiClient client, Monitor monitor, RunControl control) {
        for (def info = client.info(); !info.ready() && !control.isStopped(); info = client.info()) {
            monitor.stage(Strings.get('stage.loading', info.state()))
            try {
                Thread.sleep(500)
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt()
                throw new ServiceException(ServiceException.Kind.CANCELLED, Strings.get('cancelled'), e)
            }
        }
        if (control.isStopped())
            throw new ServiceException(ServiceException.Kind.CANCELLED, Strings.get('cancelled'), null)
    }

    /** Adds the run to the image's history, with what selects its regions again. */
    private void record(ImageData<BufferedImage> imageData, Where where, String script, String asked, Result result) {
        def model = result.plan.model()
        Map<String, Object> parameters = [model: "${model.id()} ${model.version()}".toString(), sha256: model.sha256(), where: where.name(),
                probability: result.plan.foreground(), stain: result.plan.stain(), stainMatrix: result.plan.stainMatrix().toList().toString(),
                device: result.plan.device(), nuclei: result.nuclei, tiles: result.summary.tiles(), failedTiles: result.summary.failed().size(),
                settings: settings.fingerprint(), regions: asked] as Map<String, Object>
        // the model by name: another server may have another default
        def named = settings.model ? script : script.replace('Hemalum.builder()', "Hemalum.builder()\n    .model(${Settings.quote(model.id())})")
        imageData.historyWorkflow.addStep(new DefaultScriptableWorkflowStep(Strings.get('step'), parameters, named))
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

    private Result finish(ImageData<BufferedImage> imageData, Replacement.Run run, Choice<PathObject> choice, ImagePlane plane, Collector collector,
                          RunSummary summary, Monitor monitor) {
        monitor.stage(Strings.get('stage.objects'))
        PathObjectHierarchy hierarchy = imageData.hierarchy
        double mpp = micronsPerPixel(imageData, settings)
        List<PathObject> objects = collector.objects(plane, settings.className ? PathClass.fromString(settings.className) : null)
        List<String> notices = []
        if (settings.cellExpansion != null || settings.densities) {
            // all that takes long comes before the hierarchy is changed, and only for what will be put in
            def first = Nuclei.decide(hierarchy, run, objects)
            List<PathObject> kept = (0..<objects.size()).findAll { int i -> first.homes()[i] != null }.collect { int i -> objects[i] }
            if (settings.cellExpansion != null) {
                monitor.stage(Strings.get('stage.cells'))
                kept = Cells.grow(kept, neighbours(hierarchy, first, plane), settings.cellExpansion / mpp as double)
            }
            if (settings.densities) {
                monitor.stage(Strings.get('stage.densities'))
                if (!Measuring.densities(imageData, kept, mpp))
                    notices << Strings.get('notice.no.stains')
            }
            objects = kept
        }
        if (settings.measure)
            Measuring.shapes(objects, mpp)
        monitor.stage(Strings.get('stage.inserting', objects.size()))
        boolean unsaved = imageData.changed
        Nuclei.Replaced replaced = Nuclei.insert(hierarchy, run, objects, this)
        def decided = replaced.decided
        boolean complete = summary.failed().isEmpty()
        Measuring.counts(decided.regions(), mpp, complete && settings.measure)
        imageData.changed = true
        if (choice.left() > 0)
            notices << Strings.get('notice.left', choice.left())
        [Replacement.Count.CORRECTED, Replacement.Count.IGNORED, Replacement.Count.TAKEN, Replacement.Count.HOMELESS].each { Replacement.Count what ->
            if (decided.count(what) > 0)
                notices << Strings.get('notice.' + what.name().toLowerCase(Locale.ROOT), decided.count(what))
        }
        int count = decided.count(Replacement.Count.PUT)
        logger.info('Hemalum: {} nuclei, {} of {} tiles failed, model {} {}, {} {}', count, summary.failed().size(), summary.tiles(),
                collector.plan.model().id(), collector.plan.model().version(), collector.plan.device(), notices.join(' '))
        new Result(summary, collector.plan, count, replaced, unsaved, notices)
    }

    private static List<PathObject> neighbours(PathObjectHierarchy hierarchy, Replacement<PathObject> decided, ImagePlane plane) {
        Set<PathObject> gone = Collections.newSetFromMap(new IdentityHashMap<PathObject, Boolean>())
        gone.addAll(decided.removed())
        hierarchy.detectionObjects.findAll { PathObject it -> it.hasROI() && it.ROI.isArea() && it.ROI.imagePlane == plane && !gone.contains(it) }.toList()
    }

    private SegmentSpec spec(ImageData<BufferedImage> imageData, List<List<double[]>> regions, ImagePlane plane, double[] centre) {
        def server = imageData.server
        if (!server.isRGB())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.not.rgb'), null)
        double mpp = micronsPerPixel(imageData, settings)
        def image = new SegmentSpec.Image(server.width, server.height, mpp, settings.pixelSize == null ? 'QuPath' : 'given in QuPath',
                server.metadata.name ?: '', plane.z, plane.t)
        new SegmentSpec(settings.model, image, regions, settings.probability, settings.minArea, settings.partArea, settings.stain,
                settings.stainMatrix, settings.measure, centre != null, settings.encoding, centre)
    }

    /**
     * µm per pixel, given or of the image.
     *
     * @throws ServiceException if neither is known, or pixels are not square: a guess would make wrong nuclei without anyone noticing
     */
    static double micronsPerPixel(ImageData<BufferedImage> imageData, Settings settings) {
        if (settings.pixelSize != null)
            return settings.pixelSize
        PixelCalibration calibration = imageData.server.pixelCalibration
        if (!calibration.hasPixelSizeMicrons())
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.no.pixel.size'), null)
        if (!square(calibration))
            throw new ServiceException(ServiceException.Kind.REFUSED, Strings.get('error.not.square', calibration.pixelWidthMicrons, calibration.pixelHeightMicrons), null)
        calibration.averagedPixelSizeMicrons
    }

    /** Whether pixels are as wide as high, as far as that is known. */
    static boolean square(PixelCalibration calibration) {
        !calibration.hasPixelSizeMicrons() || Math.abs(calibration.pixelWidthMicrons / calibration.pixelHeightMicrons - 1) <= SQUARE
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

        /** What came in as objects, in the order of their rows: tiles come in any order. Each batch is let go when it is done. */
        List<PathObject> objects(ImagePlane plane, PathClass pathClass) {
            List<PathObject> objects = []
            for (int i = 0; i < batches.size(); i++) {
                objects.addAll(Nuclei.detections(batches[i], plane, pathClass, this.plan.runId(), this.plan.measurements()))
                batches[i] = null
            }
            objects.sort { PathObject a, PathObject b ->
                int rows = Double.compare(a.ROI.centroidY, b.ROI.centroidY)
                rows != 0 ? rows : Double.compare(a.ROI.centroidX, b.ROI.centroidX)
            }
            objects
        }

        @Override
        void waiting(String why) {
            monitor.stage(why)
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
