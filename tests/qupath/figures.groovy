/* Figures for people: reading and sending against reading alone, 200,000 nuclei put into the open image, first nuclei after a click. */
import hemalum.client.*
import java.util.concurrent.Callable
import java.util.concurrent.Executors
import qupath.ext.hemalum.*
import qupath.lib.images.servers.ImageServers
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))
def machine = java.lang.management.ManagementFactory.operatingSystemMXBean

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    def load = { machine.systemLoadAverage }

    // ------------------------------------------------ every file is read once: what was read lies in QuPath's cache
    int side = 1024
    def open = { String path -> ImageServers.buildServer(new File(path).toURI()) }
    def timed = { Closure work ->
        long wall = System.nanoTime(), computed = machine.processCpuTime
        int tiles = work()
        def perTile = { long since, long now -> (now - since) / 1e6 / tiles }
        [ms: perTile(wall, System.nanoTime()), computed: perTile(computed, machine.processCpuTime), load: load()]
    }
    def alone = { String path ->
        def server = open(path)
        def readers = Executors.newFixedThreadPool(3)
        def work = []
        for (int y = 0; y + side <= server.height; y += side)
            for (int x = 0; x + side <= server.width; x += side) {
                def request = RegionRequest.createInstance(server.path, 1.0d, x, y, side, side)
                work << ({ server.readRegion(request) } as Callable)
            }
        readers.invokeAll(work)*.get()
        readers.shutdown()
        server.close()
        work.size()
    }
    def client = NucleiClient.connect(Endpoint.parse(System.getenv('HEMALUM_TEST_SERVER')), null, null, 'figures')
    def sent = { String path ->
        def server = open(path)
        out.reader = server.serverType
        def image = new SegmentSpec.Image(server.width, server.height, 0.5d, 'test', '', 0, 0)
        def tiles = new SlideTiles(server, ImagePlane.defaultPlane)
        int done = client.segment(SegmentSpec.of(image), tiles, new RunListener() {}, new RunControl()).tiles()
        server.close()
        done
    }
    def paths = System.getenv('HEMALUM_TEST_SLIDES').split(File.pathSeparator).toList()
    alone(paths[0])
    5.times { sent(paths[1]) }      // what is compiled when it has been used for some time
    out.alone = []
    out.sent = []
    paths.drop(2).collate(2).each { pair ->
        out.alone << timed { alone(pair[0]) }
        out.sent << timed { sent(pair[1]) }
    }
    client.close()
    def median = { List<Map> runs, String what -> runs*.get(what).sort()[runs.size().intdiv(2)] }
    out.sentPerAlone = ['ms', 'computed'].collectEntries { [it, median(out.sent, it) / median(out.alone, it)] }

    // ------------------------------------------------ 200,000 nuclei of 24 points and 8 measurements
    int n = 200_000, points = 24, batch = 2_000
    int width = qupath.imageData.server.width, height = qupath.imageData.server.height
    def batches = (0..<n.intdiv(batch)).collect { Made.nuclei(batch, points, width, height, new Random(it)) }
    def hierarchy = qupath.imageData.hierarchy
    int events = 0
    hierarchy.addListener({ event -> events++ } as PathObjectHierarchyListener)
    def insert = {
        drive.deaf()
        events = 0
        long start = System.nanoTime()
        double before = drive.computed()
        def objects = batches.collectMany { Nuclei.detections(it, ImagePlane.defaultPlane, null, 'run', it.names()) }
        double made = (System.nanoTime() - start) / 1e9
        Nuclei.insert(hierarchy, new hemalum.rules.Replacement.Run([], 0, 0, []), objects, this)
        double put = (System.nanoTime() - start) / 1e9
        drive.fx { }
        double shown = (System.nanoTime() - start) / 1e9, computed = drive.computed() - before
        Thread.sleep(3000)
        drive.shot('many')
        [objects: hierarchy.detectionObjects.size(), made: made, inserted: put, shown: shown, computed: computed, events: events,
                deaf: drive.deaf(), load: load()]
    }
    out.inserted = insert()
    out.replaced = insert()

    // ------------------------------------------------ from a click to the first nuclei that are drawn, with a server that runs
    drive.fx {
        Preferences.where.set('IMAGE')
        qupath.viewer.resetImageData()
        qupath.openImageEntry(qupath.project.imageList[1])
    }
    drive.until('the slide') { qupath.imageData != null && qupath.viewer.RGBThumbnail != null }
    drive.look(1110, 1400, 2)
    def click = {
        drive.deaf()
        long start = System.nanoTime()
        double before = drive.computed()
        drive.menu('Segment nuclei with the last settings')
        def shown
        while ((shown = drive.fx { qupath.viewer.customOverlayLayers.find { it.class.simpleName == 'RunOverlay' } }) == null) Thread.sleep(5)
        while (shown.picture == null || shown.picture.drawn < 1) Thread.sleep(5)
        [drawn: (System.nanoTime() - start) / 1e9, computed: drive.computed() - before, load: load()]
    }
    def ended = { drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() } }
    out.cold = click()      // starts the server
    ended()
    out.clicks = (1..5).collect {
        def first = click()
        drive.fx { drive.windows().collectMany { it.scene.root.lookupAll('.button') }.find { it.text == 'Cancel' }.fire() }
        ended()
        Thread.sleep(1000)
        first
    }
    out.firstNuclei = median(out.clicks, 'drawn')
    click()
    ended()
    Thread.sleep(1000)
    out.deafInRun = drive.deaf()
}

/** Round nuclei anywhere in the image. */
@groovy.transform.CompileStatic
class Made {

    static FoundNuclei nuclei(int n, int points, int width, int height, Random random) {
        int[] vertices = new int[2 * points * n], offsets = new int[n + 1]
        double[] centroids = new double[2 * n]
        for (int i = 0; i < n; i++) {
            double x = 12 + random.nextDouble() * (width - 24), y = 12 + random.nextDouble() * (height - 24)
            centroids[2 * i] = x
            centroids[2 * i + 1] = y
            for (int k = 0; k < points; k++) {
                vertices[2 * (points * i + k)] = (int) Math.round(8 * (x + 8 * Math.cos(2 * Math.PI * k / points as double)))
                vertices[2 * (points * i + k) + 1] = (int) Math.round(8 * (y + 8 * Math.sin(2 * Math.PI * k / points as double)))
            }
            offsets[i + 1] = points * (i + 1)
        }
        float[] half = new float[n]
        Arrays.fill(half, 0.5f)
        UUID[] ids = new UUID[n]
        for (int i = 0; i < n; i++)
            ids[i] = new UUID(random.nextLong(), random.nextLong())
        float[][] columns = new float[8][]
        List<String> names = []
        for (int m = 0; m < 8; m++) {
            columns[m] = half
            names.add("Measurement $m".toString())
        }
        new FoundNuclei(vertices, offsets, half, ids, centroids, new int[n], names, columns)
    }
}
