/* A click on the button with the last settings, on the whole image, and what it gave. */
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
    def found = qupath.imageData.hierarchy.detectionObjects
    out.nuclei = found.collect { [it.ID.toString(), it.ROI.centroidX, it.ROI.centroidY, it.ROI.getArea()] }
    out.script = qupath.imageData.historyWorkflow.lastStep.script
}
