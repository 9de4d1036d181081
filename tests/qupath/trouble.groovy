/* What goes wrong: the server killed in mid-run, twenty cancels, QuPath closed in mid-run. */
def loader = new GroovyClassLoader(this.class.classLoader)
def Drive = loader.parseClass(new File(System.getenv('HEMALUM_TEST_DIR'), 'Drive.groovy'))
def extension = { name -> Class.forName('qupath.ext.hemalum.' + name, true, this.class.classLoader) }

Drive.go { drive ->
    def qupath = drive.qupath, out = drive.out
    def hierarchy = { qupath.imageData.hierarchy }
    def describe = { hierarchy().detectionObjects.collect { "${it.ID} ${it.ROI.getArea()}".toString() }.sort() }
    def overlay = { drive.fx { qupath.viewer.customOverlayLayers.find { it.class.simpleName == 'RunOverlay' } } }
    def server = { extension('Connections').startLocal() }
    def preferences = extension('Preferences')
    drive.fx { preferences.where.set('IMAGE'); preferences.askAgain.set(false) }
    def begin = {
        drive.menu('Segment nuclei with the last settings')
        def shown
        while ((shown = overlay()) == null) Thread.sleep(5)
        shown
    }
    def ended = { drive.until('the end of the run') { qupath.viewer.customOverlayLayers.isEmpty() } }

    // killed in mid-run: a sentence, and what was final is kept
    def shown = begin()
    while (shown.batches.isEmpty()) Thread.sleep(5)
    ProcessHandle.of(server().pid()).get().destroyForcibly()
    out.lost = drive.message { it.buttonData.toString() == 'YES' }
    ended()
    out.partly = drive.message()
    out.kept = hierarchy().detectionObjects.size()
    out.keptOnce = describe()*.tokenize(' ')*.first().toSet().size() == out.kept

    // again: another server is started, and the rest is found
    begin()
    ended()
    def all = describe()
    out.all = all.size()
    out.nothingDoubled = all*.tokenize(' ')*.first().toSet().size() == all.size()

    // twenty cancels change nothing and leave nothing
    20.times {
        begin()
        def stage
        drive.until('the window of the run') { (stage = drive.windows().find { it.title == 'Hemalum: segmenting nuclei' }) != null }
        def button = drive.fx { stage.scene.root.lookupAll('.button').find { it.text == 'Cancel' } }
        drive.fx { button.fire() }
        ended()
    }
    out.cancelled = describe() == all
    def ours = { Thread.allStackTraces.keySet()*.name.findAll { it ==~ /hemalum-(run|reader|overlay|\d).*/ } }
    drive.until('the end of our threads') { ours().isEmpty() }
    drive.until('the end of the runs') {
        def client = extension('Connections').open(extension('Settings').getDeclaredConstructor().newInstance())
        try { client.info().runs() == 0 } finally { client.close() }
    }

    // closed in mid-run
    drive.fx { qupath.project.getEntry(qupath.imageData).saveImageData(qupath.imageData) }
    out.server = server().pid()
    shown = begin()
    while (shown.batches.isEmpty()) Thread.sleep(5)
    out.quit = true
}
