/* The way from a fresh QuPath to nuclei: Install server, Segment nuclei. The jar is there, QuPath was started again, a slide is open. */
import javafx.scene.control.Button
import javafx.scene.control.ComboBox
import javafx.scene.control.TextArea
import javafx.scene.control.TextField

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    drive.menu('Install server …')
    def root
    drive.until('the window') { (root = drive.windows().find { it.title == 'Hemalum: install server' }?.scene?.root) != null }
    drive.fx {
        root.lookupAll('.text-field').find { it instanceof TextField }.text = System.getenv('HEMALUM_TEST_WHEELS')
        root.lookupAll('.button').find { it instanceof Button && it.text == 'Install' }.fire()
    }
    def log = root.lookup('.text-area') as TextArea
    def button = root.lookupAll('.button').find { it.text == 'Install' }
    drive.until('the end of the installation', 1800) { !button.disabled }
    drive.shot('install')
    out.installed = drive.fx { drive.texts(root).find { it?.contains('is installed and works') } }
    out.log = drive.fx { log.text.readLines().takeRight(8) }
    drive.fx { root.scene.window.hide() }

    drive.menu('Segment nuclei …')
    def pane
    drive.until('the dialog') { (pane = drive.dialog('Hemalum')) != null }
    def combos = drive.fx { pane.lookupAll('.combo-box').findAll { it instanceof ComboBox }.toList() }
    drive.until('the models') { combos[0].value != null }
    drive.fx { combos[1].value = combos[1].items.find { it.name() == 'IMAGE' } }
    drive.press(pane) { it.buttonData.defaultButton }
    drive.until('nuclei', 1800) { !qupath.imageData.hierarchy.detectionObjects.isEmpty() }
    out.nuclei = qupath.imageData.hierarchy.detectionObjects.size()
    drive.shot('fresh')
}
