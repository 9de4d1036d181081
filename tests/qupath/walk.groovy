/* The way of a person: menu, dialog, nuclei, correct with the brush, save and reopen in between, done, reference stain, thumbnail. */
import java.awt.image.BufferedImage
import javafx.scene.control.ComboBox
import qupath.lib.gui.viewer.tools.PathTools
import qupath.lib.objects.PathObjects
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    def hierarchy = { qupath.imageData.hierarchy }
    def describe = { hierarchy().detectionObjects.collect { "${it.ID} ${it.ROI.centroidX} ${it.ROI.centroidY} ${it.ROI.getArea()}".toString() }.sort() }
    def overlay = { drive.fx { qupath.viewer.customOverlayLayers.find { it.class.simpleName == 'RunOverlay' } } }

    def ours = ['Segment nuclei …', 'Segment nuclei with the last settings', 'View in reference stain']
    out.keysOfOurOwn = drive.sharedKeys().values().flatten().disjoint(ours)

    // the dialog starts the local server; its card is filled when that answers
    drive.look(1110, 1400, 2)
    drive.menu('Segment nuclei …')
    def pane
    drive.until('the dialog') { (pane = drive.dialog('Hemalum')) != null }
    def combos = drive.fx { pane.lookupAll('.combo-box').findAll { it instanceof ComboBox }.toList() }
    drive.until('the models') { combos[0].value != null }
    out.model = combos[0].value
    out.card = drive.fx { drive.texts(pane).find { it?.contains('Computed on') } }
    drive.fx { combos[1].value = combos[1].items.find { it.name() == 'IMAGE' } }
    drive.until('a server that has loaded') { drive.texts(pane).any { it?.contains('Computed on: CPU') } }
    drive.shot('dialog')
    drive.press(pane) { it.buttonData.defaultButton }
    def shown
    while ((shown = overlay()) == null) Thread.sleep(5)
    def drawn = { int batches -> shown.picture != null && shown.picture.drawn >= batches || qupath.viewer.customOverlayLayers.isEmpty() }
    while (!drawn(2)) Thread.sleep(5)
    Thread.sleep(300)
    drive.shot('first')
    drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() && !hierarchy().detectionObjects.isEmpty() }
    Thread.sleep(1000)
    out.nuclei = hierarchy().detectionObjects.size()
    def once = describe()
    out.described = once
    out.script = qupath.imageData.historyWorkflow.lastStep.script
    drive.shot('nuclei')

    // again, through the command that asks nothing
    drive.menu('Segment nuclei with the last settings')
    while (overlay() == null) Thread.sleep(5)
    drive.until('the end of the second run') { qupath.viewer.customOverlayLayers.isEmpty() }
    out.again = describe() == once

    // correct: one nucleus grows under the brush, one is deleted, one is drawn
    def region = PathObjects.createAnnotationObject(ROIs.createRectangleROI(1060, 960, 260, 220, ImagePlane.defaultPlane))
    drive.fx { hierarchy().addObject(region); hierarchy().selectionModel.setSelectedObject(region) }
    drive.look(1190, 1070, 0.4)
    drive.menu('Correct nuclei here')
    drive.until('editable nuclei') { region.nChildObjects() > 2 && region.childObjects.every { it.isAnnotation() } }
    def editable = region.childObjects.toList()
    def middle = { it.ROI.centroidX > 1100 && it.ROI.centroidX < 1280 && it.ROI.centroidY > 1000 && it.ROI.centroidY < 1140 }
    def brushed = editable.find(middle), deleted = editable.findAll(middle)[1]
    double area = brushed.ROI.getArea()
    def x = brushed.ROI.centroidX, y = brushed.ROI.centroidY
    drive.fx { qupath.toolManager.setSelectedTool(PathTools.BRUSH); hierarchy().selectionModel.setSelectedObject(brushed) }
    drive.drag((0..8).collect { [x + 2.5 * it, y] })
    out.brushed = brushed.ROI.getArea() > area * 1.1
    drive.shot('brush')
    drive.fx { hierarchy().selectionModel.setSelectedObject(deleted); hierarchy().removeObject(deleted, true) }
    drive.fx { hierarchy().selectionModel.clearSelection() }
    drive.drag((0..6).collect { [1276 + 2 * it, 1055] })
    drive.fx { qupath.toolManager.setSelectedTool(PathTools.MOVE) }
    out.drawn = hierarchy().annotationObjects.count { it.pathClass == null && it.ROI.centroidX > 1270 && it.ROI.centroidX < 1295 && it.ROI.centroidY > 1045 && it.ROI.centroidY < 1065 }

    // saved in the middle of it and opened again
    def entry = qupath.project.getEntry(qupath.imageData)
    drive.fx { entry.saveImageData(qupath.imageData); qupath.project.syncChanges(); qupath.viewer.resetImageData() }
    drive.fx { qupath.openImageEntry(entry) }
    drive.until('the saved image') { qupath.imageData != null }
    drive.look(1190, 1070, 0.4)
    drive.shot('reopened')
    def open = hierarchy().annotationObjects.find { it.pathClass?.toString() == 'Complete' }
    out.reopened = open.ID == region.ID && hierarchy().annotationObjects.count { it.pathClass?.toString() == 'Nucleus' } >= editable.size() - 1
    drive.menu('Done correcting')
    drive.until('detections again') { hierarchy().detectionObjects.any { it.ID == brushed.ID } }
    def after = hierarchy().detectionObjects
    out.marks = after.collect { it.metadata['Hemalum correction'] }.findAll().countBy { it }
    out.deletedNoted = hierarchy().annotationObjects.find { it.ID == region.ID }.metadata['Hemalum deleted']
    out.idsKept = editable.findAll { !it.is(deleted) }.every { was -> after.any { it.ID == was.ID } }
    out.nothingLost = after.size() == once.size()   // one deleted, one drawn
    out.leftEditable = hierarchy().annotationObjects.count { it.pathClass?.toString() == 'Nucleus' }
    drive.shot('corrected')

    // the reference stain
    drive.deaf()
    drive.menu('Show reference stain …')
    drive.until('the tab') { qupath.analysisTabPane.tabs.any { it.text == 'Stain' } }
    drive.menu('View in reference stain')
    drive.until('the overlay') { qupath.viewer.customPixelLayerOverlay?.class?.simpleName == 'StainOverlay' }
    drive.look(1100, 1500, 3)
    drive.look(1100, 1500, 1)
    Thread.sleep(2000)
    drive.shot('stain')
    out.deafInStain = drive.deaf()
    drive.menu('View in reference stain')
    drive.until('the end of the overlay') { qupath.viewer.customPixelLayerOverlay?.class?.simpleName != 'StainOverlay' }

    // what is looked at, through a generator; the toy model's gives the negative
    def button = drive.fx { qupath.analysisTabPane.tabs.find { it.text == 'Stain' }.content.lookupAll('.button').find { it.text == 'Field of view by the generator' } }
    drive.later { button.fire() }
    def beside
    drive.until('the generator') { (beside = drive.windows().find { it.title == 'Field of view by the generator' }) != null }
    def pictures = drive.fx { beside.scene.root.lookupAll('.image-view')*.image.toList() }
    out.generator = (0..<50).every { (pictures[0].pixelReader.getArgb(3 * it, 2 * it) ^ pictures[1].pixelReader.getArgb(3 * it, 2 * it)) == 0xffffff }
    drive.shot('generator')
    drive.fx { beside.close() }

    // the project's thumbnail, there and back
    // QuPath stores thumbnails as JPEG: what is put back differs a little, what is normalized a lot
    def difference = { BufferedImage one, BufferedImage other ->
        int step = 7
        def points = (0..<one.height).step(step).collectMany { row -> (0..<one.width).step(step).collect { column -> [column, row] } }
        points.sum { x1, y1 -> Math.abs((one.getRGB(x1, y1) >> 8 & 255) - (other.getRGB(x1, y1) >> 8 & 255)) } / points.size()
    }
    entry = qupath.project.getEntry(qupath.imageData)
    def original = entry.thumbnail
    drive.menu('Set as project thumbnail')
    drive.until('the new thumbnail') { difference(original, entry.thumbnail) > 3 }
    drive.shot('thumbnail')
    drive.menu('Put original thumbnail back')
    drive.until('the old thumbnail') { difference(original, entry.thumbnail) < 1 }
    out.thumbnail = true
}
