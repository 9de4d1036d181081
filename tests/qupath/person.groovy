/* A person who goes on working: undo and a new annotation in mid-run, Enter, stop and keep, another image in the reference stain, a project's list. */
import javafx.scene.control.CheckMenuItem
import javafx.scene.input.KeyCode
import javafx.scene.robot.Robot
import qupath.ext.hemalum.Preferences
import qupath.lib.objects.PathObjects
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    def hierarchy = { qupath.imageData.hierarchy }
    def overlay = { drive.fx { qupath.viewer.customOverlayLayers.find { it.class.simpleName == 'RunOverlay' } } }
    def rectangle = { x, y, w, h -> PathObjects.createAnnotationObject(ROIs.createRectangleROI(x, y, w, h, ImagePlane.defaultPlane)) }
    def begin = {
        drive.menu('Segment nuclei with the last settings')
        def shown
        while ((shown = overlay()) == null) Thread.sleep(5)
        shown
    }
    def ended = { drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() } }
    drive.fx { Preferences.where.set('SELECTED'); Preferences.askAgain.set(false) }

    // an annotation drawn and undone while nuclei come
    def region = rectangle(300, 300, 1500, 1500)
    drive.fx { hierarchy().addObject(region); hierarchy().selectionModel.setSelectedObject(region) }
    Thread.sleep(1000)
    def shown = begin()
    while (shown.batches.isEmpty()) Thread.sleep(5)
    drive.fx { hierarchy().addObject(rectangle(20, 20, 100, 100)) }
    Thread.sleep(1000)
    drive.fx { qupath.undoRedoManager.undoOnce() }
    ended()
    out.undo = [drive.said(/\d+ nuclei/), hierarchy().detectionObjects.size(), hierarchy().annotationObjects.size(),
            !hierarchy().annotationObjects.any { it.is(region) }]

    // keys that were meant for something else end nothing
    drive.fx { Preferences.where.set('IMAGE') }
    begin()
    Thread.sleep(500)
    def robot = drive.fx { new Robot() }
    3.times { drive.fx { robot.keyType(KeyCode.ENTER) }; drive.fx { robot.keyType(KeyCode.SPACE) } }
    ended()
    out.all = hierarchy().detectionObjects.size()

    // stop and keep: where nothing was segmented, the earlier nuclei stay
    drive.fx { Preferences.probability.set(0.6d) }
    begin()
    def stage
    drive.until('the window of the run') { (stage = drive.windows().find { it.title == 'Hemalum: segmenting nuclei' }) != null }
    drive.until('the first tiles') { drive.texts(stage.scene.root).any { it =~ /[1-9]\d* sent/ } }
    drive.fx { stage.scene.root.lookupAll('.button').find { it.text == 'Stop and keep' }.fire() }
    ended()
    out.stopped = [drive.said(/Stopped/), hierarchy().detectionObjects.size()]
    drive.fx { Preferences.probability.set(-1d) }

    // the reference stain follows the image
    drive.menu('View in reference stain')
    def painted = { qupath.viewer.customPixelLayerOverlay?.class?.simpleName == 'StainOverlay' && qupath.viewer.customPixelLayerOverlay.imageData.is(qupath.imageData) }
    drive.until('the overlay') { painted() }
    drive.menu('Show reference stain …')
    drive.until('the tab') { qupath.analysisTabPane.tabs.any { it.text == 'Stain' } }
    def entries = qupath.project.imageList
    drive.fx { qupath.project.getEntry(qupath.imageData).saveImageData(qupath.imageData); qupath.openImageEntry(entries[1]) }
    drive.until('the overlay of the other image') { painted() }
    def tab = qupath.analysisTabPane.tabs.find { it.text == 'Stain' }
    drive.until('its name in the tab') { drive.texts(tab.content).any { it?.contains(entries[1].imageName) } }
    def item = drive.fx { qupath.getMenu('Extensions>Hemalum', false).items.find { it.text == 'View in reference stain' } }
    out.checked = item instanceof CheckMenuItem && item.selected
    drive.shot('stain-follows')
    drive.menu('View in reference stain')
    drive.until('the end of the overlay') { qupath.viewer.customPixelLayerOverlay?.class?.simpleName != 'StainOverlay' }

    // the images of the project: a list that stays
    drive.fx { qupath.imageData.imageType = qupath.lib.images.ImageData.ImageType.BRIGHTFIELD_H_DAB; entries[1].saveImageData(qupath.imageData); qupath.openImageEntry(entries[0]) }
    drive.later { drive.menu('Segment all images of the project …') }
    out.asked = drive.message { it.buttonData.toString() == 'YES' }
    def list
    drive.until('the list') { (list = drive.windows().find { it.title == 'Hemalum: images of the project' }) != null }
    def button = { text -> list.scene.root.lookupAll('.button').find { it.text == text } }
    drive.until('its end') { button('Close') != null }
    Thread.sleep(4000)
    out.list = [list.showing, drive.fx { list.scene.root.lookup('.table-view').items.collect { [it.image, it.state.name(), it.nuclei, it.reason] } }]
    drive.shot('project')
    drive.fx { button('Close').fire() }
    out.closed = !list.showing
}
