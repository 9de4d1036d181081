/* A click on the button with the last settings, on the whole image; then QuPath's own Run for project with what it recorded. */
import javafx.scene.control.ButtonType
import qupath.ext.hemalum.Preferences

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    drive.fx { Preferences.where.set('IMAGE'); Preferences.askAgain.set(false) }
    def button = drive.fx { qupath.toolBar.items.find { it instanceof javafx.scene.control.Button && it.text == 'Nuclei' } }
    drive.later { button.fire() }
    drive.until('nuclei') { !qupath.imageData.hierarchy.detectionObjects.isEmpty() }
    drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() }
    def describe = { hierarchy -> hierarchy.detectionObjects.collect { [it.ID.toString(), it.ROI.centroidX, it.ROI.centroidY, it.ROI.getArea()] } }
    out.nuclei = describe(qupath.imageData.hierarchy)
    out.script = qupath.imageData.historyWorkflow.lastStep.script

    drive.fx { qupath.scriptEditor.showScript('recorded', out.script) }
    def item, pane
    drive.until('the script editor') {
        item = drive.windows().collectMany { it.scene.root.lookupAll('.menu-bar') }*.menus.flatten()*.items.flatten().find { it.text == 'Run for project' }
        item != null
    }
    drive.shot('script')
    drive.later { item.fire() }
    drive.until('the choice of images') { (pane = drive.dialog('Select project images')) != null }
    drive.fx { pane.content.targetItems.addAll(pane.content.sourceItems); pane.content.sourceItems.clear() }
    drive.press(pane) { it == ButtonType.OK }
    drive.said('Refresh open images')
    out.project = qupath.project.imageList.collect { describe(it.readHierarchy()) }
}
