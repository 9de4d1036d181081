/* Run by `QuPath script` on every image of a project: what a click does, what it records, and corrections. */
import qupath.ext.hemalum.*
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.roi.ROIs

def imageData = getCurrentImageData()
def out = [image: imageData.server.metadata.name]
def builder = { Hemalum.builder().server(System.getenv('HEMALUM_TEST_SERVER')).token(System.getenv('HEMALUM_TEST_TOKEN')).model(System.getenv('HEMALUM_TEST_MODEL')).pixelSize(0.5) }
def describe = { getDetectionObjects().collect { "${it.ID} ${it.ROI.centroidX} ${it.ROI.centroidY} ${it.ROI.getArea()}".toString() }.sort() }

// what another extension brings is there for all, ours included, but is not what ours uses
out.besides = ['io.grpc.Status', 'com.google.protobuf.Message'].findAll { name ->
    try { Class.forName(name, false, Hemalum.classLoader) } catch (ClassNotFoundException e) { null }
}

setImageType('BRIGHTFIELD_H_E')
clearAllObjects()
createFullImageAnnotation(true)
def events = 0
def listener = { event -> events++ } as qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener
imageData.hierarchy.addListener(listener)
builder().build().segmentSelected(imageData)
out.events = events
imageData.hierarchy.removeListener(listener)
out.nuclei = getDetectionObjects().size()
def once = describe()
out.locked = getAnnotationObjects()[0].isLocked()

// again, and as the whole image: nothing is doubled, and names stay
builder().build().segmentSelected(imageData)
out.again = describe() == once
def whole = builder().build().segmentImage(imageData)
out.whole = describe() == once
Nuclei.restore(whole.replaced, this)
out.restored = describe() == once && getAnnotationObjects()[0].childObjects.size() == once.size()

// every run is recorded, and what is recorded, run as a script, gives the same
def annotations = getAnnotationObjects().toList()
resetSelection()
selectAnnotations()
builder().build().segmentSelected(imageData)
builder().build().segmentRegion(imageData, 0, 0, imageData.server.width, imageData.server.height)
// a token belongs to the server that it was entered for
Preferences.serverAddress.set(System.getenv('HEMALUM_TEST_SERVER'))
Preferences.setToken(System.getenv('HEMALUM_TEST_TOKEN'), false)
Preferences.serverAddress.set('')
def steps = imageData.historyWorkflow.steps.findAll { it.name.startsWith('Segment nuclei') }
out.recorded = steps.size() == 5 && steps*.script.toSet().collect { script ->
    resetSelection()
    new GroovyShell(this.class.classLoader).evaluate('import static qupath.lib.scripting.QP.*\n' + script)
    describe() == once
} == [true] * 3
builder().build().segment(imageData, annotations)

// foreign objects stay
def foreign = PathObjects.createDetectionObject(ROIs.createRectangleROI(5, 5, 3, 3))
annotations[0].addChildObject(foreign)
// the recorded scripts were run in any order, and each selects what it needs
selectAnnotations()
builder().build().segmentSelected(imageData)
out.foreign = getDetectionObjects().contains(foreign) && getDetectionObjects().size() == once.size() + 1
annotations[0].removeChildObject(foreign)

// corrections: one edited, one deleted, one added, the rest untouched
def region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 300, 300))
addObject(region)
int editable = Corrections.begin(imageData, region)
def inside = region.childObjects.toList()
out.editable = editable > 3 && inside.every { it.isAnnotation() && !it.isLocked() }
inside[0].ROI = inside[0].ROI.translate(1, 0)
region.removeChildObject(inside[1])
region.addChildObject(PathObjects.createAnnotationObject(ROIs.createEllipseROI(300, 300, 9, 9), PathClass.fromString('Nucleus')))
def count = Corrections.done(imageData, region)
out.corrected = [count.nuclei, count.edited, count.added, count.deleted] == [editable, 1, 1, 1]
out.counts = [count.nuclei, count.edited, count.added, count.deleted]
out.ids = region.childObjects*.ID.containsAll(inside.drop(2)*.ID) && region.childObjects.every { it.isDetection() }
out.exported = TrainingExport.objects(imageData).size() == editable + 1

// a run on the whole image leaves what was corrected alone, and cells own their nuclei's names
def corrected = region.childObjects*.ID.toSet()
builder().cells(4).cellMeasurements(true).build().segmentImage(imageData)
out.kept = region.childObjects*.ID.toSet() == corrected
out.cells = getCellObjects().size() + editable == once.size()
out.cellIds = once.collect { UUID.fromString(it.tokenize(' ')[0]) }.containsAll(getCellObjects()*.ID)
out.cellMeasured = getCellObjects().every { it.measurementList.names.any { it.contains('Cytoplasm') } }
println 'RESULT ' + new com.google.gson.Gson().toJson(out)
