/* The images of a project (`-p`): a corrected region, an image of another stain, edits meanwhile, done before, a TMA; then the export of turned images. */
import java.awt.image.BufferedImage
import qupath.ext.hemalum.*
import qupath.lib.images.ImageData
import qupath.lib.images.servers.*
import qupath.lib.objects.*
import qupath.lib.regions.*
import qupath.lib.roi.ROIs

def project = getProject(), out = [:]
def settings = Hemalum.builder().server(System.getenv('HEMALUM_TEST_SERVER')).token(System.getenv('HEMALUM_TEST_TOKEN')).model(System.getenv('HEMALUM_TEST_MODEL'))
def open = new OpenImages(null, project)
class Watching implements Monitor {
    Closure during

    @Override
    void found(hemalum.client.FoundNuclei nuclei) { during?.call() }
}
def run = { Closure during = null ->
    new ProjectRun(project, settings.build(), new Watching(during: during), new hemalum.client.RunControl(), open).run({ rows, i -> } as ProjectRun.Watch)
            .collectEntries { [it.image, [it.state.name(), it.nuclei, it.reason]] }
}
def change = { int i, Closure work ->
    def entry = project.imageList[i], data = entry.readImageData()
    def result = work(data)
    entry.saveImageData(data)
    data.close()
    result
}
def describe = { hierarchy, id -> hierarchy.annotationObjects.find { it.ID == id }.childObjects.collect { "${it.ID} ${it.ROI.getArea()} ${it.metadata['Hemalum correction']}".toString() }.sort() }
project.imageList.eachWithIndex { entry, i -> change(i) { data ->
    data.updateServerMetadata(new ImageServerMetadata.Builder(data.server.metadata).pixelSizeMicrons(0.5, 0.5).build())
} }

// the first image has a corrected region; the second is of another stain
def region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 300, 300, ImagePlane.defaultPlane))
def before = change(0) { data ->
    settings.build().segmentImage(data)
    data.hierarchy.addObject(region)
    Corrections.begin(data, region)
    def inside = region.childObjects.toList()
    inside[0].ROI = inside[0].ROI.translate(1, 0)
    region.removeChildObject(inside[1])
    Corrections.done(data, region)
    data.historyWorkflow.clear()
    describe(data.hierarchy, region.ID)
}
change(1) { data -> data.imageType = ImageData.ImageType.FLUORESCENCE }
out.first = run()
def one = project.imageList[0].readImageData()
out.corrected = describe(one.hierarchy, region.ID) == before
out.outside = one.hierarchy.detectionObjects.count { !region.ROI.contains(it.ROI.centroidX, it.ROI.centroidY) }
one.close()

// again: nothing to do
change(1) { data -> data.imageType = ImageData.ImageType.BRIGHTFIELD_H_E }
out.again = run()

// somebody saves an image while it is segmented
change(1) { data -> data.historyWorkflow.clear() }
def drawn = PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 50, 50, ImagePlane.defaultPlane))
boolean once = true
out.meanwhile = run { if (once) { once = false; change(1) { data -> data.hierarchy.addObject(drawn) } } }
out.kept = project.imageList[1].readHierarchy().annotationObjects.any { it.ID == drawn.ID }

// turned images are exported with the pixels that were seen
def upside = new TransformedServerBuilder(project.imageList[0].readImageData().server).rotate(RotatedImageServer.Rotation.ROTATE_180).build()
def entry = project.addImage(upside.builder)
entry.imageName = 'turned'
def turned = entry.readImageData()
turned.imageType = ImageData.ImageType.BRIGHTFIELD_H_E
turned.updateServerMetadata(new ImageServerMetadata.Builder(turned.server.metadata).pixelSizeMicrons(0.5, 0.5).build())
settings.build().segmentImage(turned)
def area = PathObjects.createAnnotationObject(ROIs.createRectangleROI(100, 60, 400, 300, ImagePlane.defaultPlane))
turned.hierarchy.addObject(area)
Corrections.begin(turned, area)
Corrections.done(turned, area)
entry.saveImageData(turned)
def folder = new File(args[0]).toPath()
def written = TrainingExport.export(project, folder, open)
out.export = [regions: written.regions, left: written.left, nuclei: area.nChildObjects(), rows: folder.resolve('images.csv').toFile().readLines()]
println 'RESULT ' + new com.google.gson.Gson().toJson(out)
