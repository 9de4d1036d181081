/* An image is closed while a run goes on: once saved, once with changes that nobody wanted. */
import qupath.ext.hemalum.Preferences
import qupath.lib.objects.PathObjects
import qupath.lib.roi.ROIs

def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    drive.fx { Preferences.where.set('IMAGE'); Preferences.askAgain.set(false) }
    def entries = qupath.project.imageList
    def overlay = { drive.fx { qupath.viewer.customOverlayLayers.find { it.class.simpleName == 'RunOverlay' } } }
    def runAndLeave = { String word, Closure before ->
        drive.menu('Segment nuclei with the last settings')
        def shown
        while ((shown = overlay()) == null) Thread.sleep(5)
        while (shown.batches.isEmpty()) Thread.sleep(5)
        drive.fx { before(); qupath.viewer.resetImageData() }
        drive.fx { qupath.openImageEntry(entries[1]) }
        drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() }
        drive.said(word)
    }
    out.told = runAndLeave('are saved in the project') { entries[0].saveImageData(qupath.imageData) }
    out.saved = entries[0].readImageData().hierarchy.detectionObjects.size()
    out.warned = runAndLeave('were not kept') {
        qupath.imageData.hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, 9, 9)))
    }
    out.unsaved = entries[1].readImageData().hierarchy.detectionObjects.size()
}
