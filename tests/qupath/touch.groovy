/*
 * What a run may touch, in a real hierarchy: undo in mid-run, corrected regions, planes, settled tiles, files of ours, brush-edited nuclei, cells.
 * `args`: a GeoJSON of ours as older versions wrote it, an image of three planes, one of many tiles.
 */
import java.awt.image.BufferedImage
import qupath.ext.hemalum.*
import qupath.lib.images.servers.ImageServers
import qupath.lib.images.ImageData
import qupath.lib.io.PathIO
import qupath.lib.objects.*
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

/** A person who works while a run goes on: as soon as the first nuclei come. */
class Busy implements Monitor {
    Closure during
    boolean begun

    @Override
    void found(hemalum.client.FoundNuclei nuclei) {
        if (!begun) {
            begun = true
            during()
        }
    }
}

def imageData = getCurrentImageData()
def out = [:]
def builder = { Hemalum.builder().server(System.getenv('HEMALUM_TEST_SERVER')).token(System.getenv('HEMALUM_TEST_TOKEN')).model(System.getenv('HEMALUM_TEST_MODEL')).pixelSize(0.5) }
def describe = { getDetectionObjects().collect { "${it.ID} ${it.ROI.centroidX} ${it.ROI.centroidY} ${it.ROI.getArea()}".toString() }.sort() }
def names = { objects -> objects*.ID*.toString().toSet() }
def running = { where, parents, Closure during ->
    builder().build().run(imageData, where, parents, new Busy(during: during), new hemalum.client.RunControl(), null)
}
// what QuPath's undo does: other objects with the same names take the place of those there were
def undo = {
    def bytes = new ByteArrayOutputStream()
    new ObjectOutputStream(bytes).withCloseable { it.writeObject(imageData.hierarchy) }
    def before = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray())).readObject() as PathObjectHierarchy
    imageData.hierarchy.setHierarchy(before)
}
setImageType('BRIGHTFIELD_H_E')
clearAllObjects()

// undo in mid-run: nothing lost
def region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, 700, 500))
addObject(region)
def result = running(Where.SELECTED, [region]) { undo() }
def there = getAnnotationObjects().find { it.ID == region.ID }
out.undo = [result.nuclei, getDetectionObjects().size(), there.nChildObjects(), !there.is(region)]
def again = builder().build().segment(imageData, [there])
out.undoAgain = getDetectionObjects().size() == result.nuclei

// restored after an undo: by name, once
undo()
def back = Nuclei.restore(again.replaced, this)
out.restored = [back.added.size(), back.removed.size(), getDetectionObjects().size()]

// the parent deleted, then reshaped in mid-run
clearAllObjects()
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, 700, 500))
addObject(region)
result = running(Where.SELECTED, [region]) { imageData.hierarchy.removeObject(region, true) }
out.deleted = [result.nuclei, getDetectionObjects().size(), getDetectionObjects().every { it.parent.isRootObject() }, result.notices.size()]
clearAllObjects()
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, 700, 500))
addObject(region)
result = running(Where.SELECTED, [region]) { region.ROI = ROIs.createRectangleROI(0, 0, 300, 300, ImagePlane.defaultPlane) }
out.reshaped = region.childObjects.every { region.ROI.contains(it.ROI.centroidX, it.ROI.centroidY) } && getDetectionObjects().size() == result.nuclei && result.notices.size() == 1

// corrected: brush, delete, draw; then every way of running
clearAllObjects()
builder().build().segmentImage(imageData)
int all = getDetectionObjects().size()
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 300, 300))
addObject(region)
Corrections.begin(imageData, region)
def inside = region.childObjects.toList()
inside[0].ROI = inside[0].ROI.translate(1, 0)
region.removeChildObject(inside[1])
region.addChildObject(PathObjects.createAnnotationObject(ROIs.createEllipseROI(300, 300, 9, 9, ImagePlane.defaultPlane), PathClass.fromString('Nucleus')))
def gland = PathObjects.createAnnotationObject(ROIs.createRectangleROI(210, 210, 40, 40, ImagePlane.defaultPlane))
def count = Corrections.done(imageData, region)
def edited = region.childObjects.find { it.ID == inside[0].ID }
out.brushed = [Nuclei.ours(edited), edited.measurementList.get('Hemalum: Probability') > 0.5, edited.metadata['Hemalum correction']]
def corrected = { region = getAnnotationObjects().find { it.ID == region.ID }; region.childObjects.collect { "${it.ID} ${it.ROI.getArea()} ${it.ROI.centroidX}".toString() }.sort() }
def before = corrected()
def refused = { work -> try { work(); null } catch (hemalum.client.ServiceException e) { e.message } }
def ways = [
    image: { builder().build().segmentImage(imageData) },
    rectangle: { builder().build().segmentRegion(imageData, 150, 150, 500, 500) },
    other: { builder().probability(0.6).build().segmentImage(imageData) },
    all: { resetSelection(); selectAnnotations(); out.onlyCorrected = refused { builder().build().segmentSelected(imageData) } },
    undone: { running(Where.IMAGE, [imageData.hierarchy.rootObject]) { undo() } },
]
out.corrected = ways.collectEntries { name, way -> way(); [name, corrected() == before && getDetectionObjects().count { region.ROI.contains(it.ROI.centroidX, it.ROI.centroidY) } == before.size()] }
out.said = builder().build().segmentImage(imageData).notices
out.correctedAgain = Corrections.begin(imageData, region) == before.size()
Corrections.done(imageData, region)
out.stillMarked = region.childObjects.countBy { it.metadata['Hemalum correction'] ?: 'none' }.findAll { it.key != 'none' }

// an older project has only the class
region.metadata.remove('hemalum.corrected')
builder().build().segmentImage(imageData)
out.older = corrected() == before

// what is no nucleus stays what it is
clearAllObjects()
builder().build().segmentImage(imageData)
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 300, 300))
addObjects([region, gland])
Corrections.begin(imageData, region)
addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 250, 250, ImagePlane.defaultPlane)))
count = Corrections.done(imageData, region)
out.gland = [getAnnotationObjects().any { it.ID == gland.ID }, count.added, count.large]

// cells stay cells through a correction, and never overlap across regions
clearAllObjects()
def one = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, 300, 1000)), other = PathObjects.createAnnotationObject(ROIs.createRectangleROI(300, 0, 300, 1000))
addObjects([one, other])
builder().build().segment(imageData, [one, other])
out.matrix = imageData.historyWorkflow.lastStep.parameterMap['stainMatrix'].tokenize(',').size()
out.columns = getDetectionObjects().collectMany { it.measurementList.names }.toSet().sort()
builder().cells(20).densities(true).build().segment(imageData, [one])
builder().cells(20).build().segment(imageData, [other])
def cells = getCellObjects().collect { it.ROI.geometry }
def tree = new org.locationtech.jts.index.strtree.STRtree()
cells.each { tree.insert(it.envelopeInternal, it) }
// QuPath simplifies each boundary for itself, which costs a little on both sides
out.overlaps = cells.count { cell -> tree.query(cell.envelopeInternal).any { !it.is(cell) && it.intersection(cell).area > 0.02 * cell.area } }
out.worst = cells.collect { cell -> tree.query(cell.envelopeInternal).findAll { !it.is(cell) }.collect { it.intersection(cell).area / cell.area }.max() ?: 0 }.max()
int cellsBefore = getCellObjects().size()
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(100, 100, 200, 200))
addObject(region)
Corrections.begin(imageData, region)
region.childObjects[0].ROI = region.childObjects[0].ROI.translate(1, 0)
count = Corrections.done(imageData, region)
out.cells = [cellsBefore - getCellObjects().size(), count.cells]
out.measured = getCellObjects().find { it.parent.ID == one.ID }.measurementList.names.toList()
out.density = one.measurementList.get('Hemalum: Nuclei per mm^2') > 0

// a file of ours, dragged in: ours
clearAllObjects()
addObjects(PathIO.readObjects(new File(args[0])))
int file = getDetectionObjects().size()
region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 300, 300))
addObject(region)
out.file = [file, Corrections.begin(imageData, region) > 3]
Corrections.done(imageData, region)
removeObject(region, true)
builder().build().segmentImage(imageData)
out.fileTwice = getDetectionObjects().size()

// only where tiles were settled: a run that is stopped
def wide = new ImageData<BufferedImage>(ImageServers.buildServer(new File(args[2]).toURI()))
wide.imageType = ImageData.ImageType.BRIGHTFIELD_H_E
builder().build().segmentImage(wide)
def earlier = wide.hierarchy.detectionObjects.toList()
def control = new hemalum.client.RunControl()
def stopped = builder().probability(0.6).build().run(wide, Where.IMAGE, [wide.hierarchy.rootObject], new Busy(during: { control.stop() }), control, null)
def later = wide.hierarchy.detectionObjects.toList()
out.stopped = [earlier.size(), later.size(), later.count { earlier.any { was -> was.is(it) } }, stopped.nuclei, stopped.summary.failed().size(), stopped.summary.tiles()]

// refusals
out.refusals = [[], [PathObjects.createAnnotationObject(ROIs.createLineROI(0, 0, 50, 50, ImagePlane.defaultPlane))],
        [PathObjects.createAnnotationObject(ROIs.createRectangleROI(5000, 0, 50, 50))]].collect { chosen -> refused { builder().build().segment(imageData, chosen) } }

// a cancelled run reads no overview; pixels that are not square are refused
def cancelled = new hemalum.client.RunControl()
cancelled.cancel()
out.cancelled = refused { new SlideTiles(imageData.server, ImagePlane.defaultPlane, cancelled).overview(300) }
def flat = new ImageData<BufferedImage>(ImageServers.buildServer(new File(args[2]).toURI()))
flat.updateServerMetadata(new qupath.lib.images.servers.ImageServerMetadata.Builder(flat.server.metadata).pixelSizeMicrons(0.5, 1.0).build())
out.flat = refused { builder().with { it.settings.pixelSize = null; it }.build().segmentImage(flat) }

// cores: those of a name, never a missing one, in the recorded script too
clearAllObjects()
def cores = (0..2).collect { PathObjects.createTMACoreObject(100 + 300 * it, 100, 200, 200, it == 1) }
cores.eachWithIndex { core, i -> core.name = 'A-' + (i + 1) }
imageData.hierarchy.TMAGrid = qupath.lib.objects.hierarchy.DefaultTMAGrid.create(cores, 3)
cores = imageData.hierarchy.TMAGrid.TMACoreList
result = builder().build().segment(imageData, [cores[2], cores[1]])
out.cores = [cores*.nChildObjects().collect { it > 0 }, result.nuclei == getDetectionObjects().size()]
def script = imageData.historyWorkflow.lastStep.script
out.coreScript = script.contains("it.getName() in ['A-3']")
Preferences.serverAddress.set(System.getenv('HEMALUM_TEST_SERVER'))
Preferences.setToken(System.getenv('HEMALUM_TEST_TOKEN'), false)
Preferences.serverAddress.set('')
resetSelection()
new GroovyShell(this.class.classLoader).evaluate('import static qupath.lib.scripting.QP.*\n' + script)
out.coresAgain = cores*.nChildObjects().collect { it > 0 }
out.missing = refused { builder().build().segment(imageData, [cores[1]]) }

// planes
def stack = new ImageData<BufferedImage>(ImageServers.buildServer(new File(args[1]).toURI()))
stack.imageType = ImageData.ImageType.BRIGHTFIELD_H_E
def onPlane = { z -> stack.hierarchy.detectionObjects.count { it.ROI.z == z } }
builder().build().segmentRegion(stack, 0, 0, stack.server.width, stack.server.height, 1, 0)
def first = onPlane(1)
builder().build().segmentImage(stack)
def area = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, stack.server.width, stack.server.height, ImagePlane.getPlane(2, 0)))
stack.hierarchy.addObject(area)
builder().build().segment(stack, [area])
out.planes = [first, onPlane(0), onPlane(1), onPlane(2)]

println 'RESULT ' + new com.google.gson.Gson().toJson(out)
