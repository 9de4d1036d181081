import java.awt.geom.Point2D
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.embed.swing.SwingFXUtils
import javafx.geometry.Rectangle2D
import javafx.scene.control.ButtonType
import javafx.scene.control.CheckMenuItem
import javafx.scene.control.DialogPane
import javafx.scene.control.Menu
import javafx.scene.input.MouseButton
import javafx.scene.robot.Robot
import javafx.stage.Stage
import javafx.stage.Window
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.ProjectIO

/** Drives QuPath's window as a person would: menus, buttons, mouse; looks at what can be seen; measures how long the window is deaf. */
class Drive {

    final QuPathGUI qupath = QuPathGUI.instance
    final Map out = [:]
    final File shots = new File(System.getenv('HEMALUM_TEST_SHOTS') ?: '.')
    private final Heartbeat heart = new Heartbeat()

    /** Runs {@code work} beside the window, prints what it put into {@code out}, and leaves; as a person would if {@code out.quit}. */
    static void go(Closure work) {
        def drive = new Drive()
        def thread = new Thread({
            try {
                drive.open(System.getenv('HEMALUM_TEST_PROJECT'))
                drive.until('the image') { drive.qupath.imageData != null && drive.qupath.viewer.RGBThumbnail != null }
                work(drive)
            } catch (Throwable e) {
                drive.shot('failed')
                drive.out.error = e.toString() + ' at ' + e.stackTrace.findAll { it.fileName?.endsWith('.groovy') }.take(3)
            }
            println 'RESULT ' + new com.google.gson.Gson().toJson(drive.out)
            System.out.flush()
            if (drive.out.quit)
                drive.later { drive.qupath.sendQuitRequest() }
            else
                System.exit(0)
        }, 'drive')
        thread.contextClassLoader = Drive.classLoader
        thread.daemon = true
        thread.start()
    }

    /** Opens the first image of a project. */
    void open(String path) {
        def project = ProjectIO.loadProject(new File(path), BufferedImage)
        fx { qupath.project = project }
        fx { qupath.openImageEntry(project.imageList[0]) }
    }

    /** On the user interface's thread, waiting for the result. */
    def fx(Closure work) {
        FXUtils.callOnApplicationThread { work() }
    }

    /** On the user interface's thread, without waiting: what opens a dialog returns only when that is closed. */
    void later(Closure work) {
        Platform.runLater { work() }
    }

    void until(String what, int seconds = 600, Closure<Boolean> condition) {
        long end = System.nanoTime() + seconds * 1_000_000_000L
        while (!fx(condition)) {
            if (System.nanoTime() > end)
                throw new IllegalStateException("waited in vain for $what; windows: ${windows()*.title}; ${dialogText()}")
            Thread.sleep(20)
        }
    }

    /** Chooses an item of <i>Extensions › Hemalum</i>. */
    void menu(String text) {
        def item = fx {
            Menu menu = qupath.getMenu('Extensions>Hemalum', false)
            menu.items.find { it.text == text }
        }
        if (item == null)
            throw new IllegalStateException("the menu has no '$text'")
        // what a click does, beside firing
        later { if (item instanceof CheckMenuItem) item.selected = !item.selected; item.fire() }
    }

    List<Stage> windows() {
        Window.windows.findAll { it instanceof Stage && it.showing && !it.is(qupath.stage) }
    }

    /** The dialog in front whose title begins so, or null. */
    DialogPane dialog(String title) {
        windows().reverse().find { it.title?.startsWith(title) && it.scene.root instanceof DialogPane }?.scene?.root
    }

    String dialogText() {
        windows().collect { it.scene.root }.findAll { it instanceof DialogPane }.collect { "${it.headerText} ${it.contentText} ${texts(it)}" }.join(' | ')
    }

    static List<String> texts(node) {
        def own = node instanceof javafx.scene.control.Labeled || node instanceof javafx.scene.control.TextInputControl ? [node.text] : []
        node instanceof javafx.scene.Parent ? own + node.childrenUnmodifiable.collectMany { texts(it) } : own
    }

    /** Presses a button of a dialog. */
    void press(DialogPane pane, Closure<Boolean> which) {
        fx {
            ButtonType type = pane.buttonTypes.find(which)
            pane.lookupButton(type)
        }.with { button -> later { button.fire() } }
        Thread.sleep(200)
    }

    /** Waits for a message, closes it with a button (the first one) and returns its text. */
    String message(Closure<Boolean> which = { true }) {
        DialogPane pane = null
        until('a message') { (pane = (DialogPane) windows().reverse().find { it.scene.root instanceof DialogPane }?.scene?.root) != null }
        String said = fx { "${pane.contentText ?: ''} ${texts(pane).join(' ')}".toString() }
        shot('message')
        press(pane, which)
        until('the end of the message') { !pane.scene?.window?.showing }
        said
    }

    /** Waits until a message or a notification says something like this and returns it; a message is closed. */
    String said(String pattern) {
        String text = null
        until("'$pattern'") {
            text = Window.windows.findAll { it.showing && it.scene != null }.collectMany { texts(it.scene.root) }.find { it =~ pattern }
            text != null
        }
        DialogPane pane = windows().collect { it.scene.root }.find { it instanceof DialogPane && texts(it).contains(text) }
        if (pane != null)
            press(pane) { true }
        text
    }

    /** Keys of the menus' items that more than one has, with the names of those. */
    Map<String, List<String>> sharedKeys() {
        Closure items
        items = { menu -> menu.items.collectMany { it instanceof Menu ? items.call(it) : [it] } }
        fx {
            qupath.menuBar.menus.collectMany { items(it) }.findAll { it.accelerator != null }
                    .groupBy { it.accelerator.toString() }.findAll { it.value.size() > 1 }.collectEntries { [it.key, it.value*.text] }
        }
    }

    /** A picture of the whole screen. */
    void shot(String name) {
        // taking it makes the window deaf, which is none of its faults
        heart.apart { fx {
            def screen = javafx.stage.Screen.primary.bounds
            def image = new Robot().getScreenCapture(null, new Rectangle2D(0, 0, screen.width, screen.height), false)
            javax.imageio.ImageIO.write(SwingFXUtils.fromFXImage(image, null), 'png', new File(shots, name + '.png'))
        } }
    }

    /** Drags the mouse through points of the image, level-0 px. */
    void drag(List<List<Number>> points) {
        def where = { List<Number> p ->
            def at = qupath.viewer.imagePointToComponentPoint(new Point2D.Double(p[0] as double, p[1] as double), null, false)
            qupath.viewer.view.localToScreen(at.x, at.y)
        }
        Robot robot = fx { new Robot() }
        points.eachWithIndex { p, i ->
            fx {
                robot.mouseMove(where(p))
                if (i == 0) robot.mousePress(MouseButton.PRIMARY)
            }
            Thread.sleep(120)
        }
        fx { robot.mouseRelease(MouseButton.PRIMARY) }
        Thread.sleep(300)
    }

    /** Seconds that this program and what it started, the local server too, have computed. */
    double computed() {
        def all = [ProcessHandle.current()] + ProcessHandle.current().descendants().toList()
        all.sum { it.info().totalCpuDuration().map { it.toMillis() }.orElse(0L) } / 1000.0
    }

    void look(double x, double y, double downsample) {
        fx { qupath.viewer.setDownsampleFactor(downsample); qupath.viewer.setCenterPixelLocation(x, y) }
        Thread.sleep(800)
    }

    /** Since the last call: the longest time, in ms, that the window took no notice, how much of it its thread computed, and at what. */
    Map deaf() {
        heart.read()
    }

    /** Asks the user interface's thread again and again; a second thread looks what it does while no answer comes. */
    static class Heartbeat {
        private static final java.lang.management.ThreadMXBean TIMES = java.lang.management.ManagementFactory.threadMXBean
        private volatile long asked, worst, worstComputed, mostComputed
        private volatile int apart
        private volatile String doing = '', worstDoing = ''
        private volatile Thread fx

        Heartbeat() {
            def known = new java.util.concurrent.CountDownLatch(1)
            Platform.runLater { fx = Thread.currentThread(); known.countDown() }
            Thread.startDaemon('heartbeat') {
                known.await()
                while (true) {
                    def answered = new java.util.concurrent.CountDownLatch(1)
                    int before = apart
                    long computed = TIMES.getThreadCpuTime(fx.threadId())
                    asked = System.nanoTime()
                    doing = ''
                    Platform.runLater { answered.countDown() }
                    answered.await()
                    long ms = (System.nanoTime() - asked).intdiv(1_000_000)
                    // on a machine with much else to do the thread may wait for its turn
                    computed = (TIMES.getThreadCpuTime(fx.threadId()) - computed).intdiv(1_000_000)
                    asked = 0
                    if (before % 2 == 0 && before == apart) {
                        mostComputed = Math.max(mostComputed, computed)
                        if (ms > worst) {
                            worst = ms
                            worstComputed = computed
                            worstDoing = doing
                        }
                    }
                    Thread.sleep(5)
                }
            }
            def watch = Thread.startDaemon('heartbeat-watch') {
                while (true) {
                    long since = asked
                    if (since != 0 && System.nanoTime() - since > 50_000_000L && doing == '' && fx != null)
                        doing = fx.stackTrace.findAll { !it.className.startsWith('java.') && !it.className.startsWith('jdk.') }.take(14)*.toString().join(' < ')
                    Thread.sleep(5)
                }
            }
            watch.priority = Thread.MAX_PRIORITY
        }

        /** Does something that does not count. */
        void apart(Closure work) {
            apart++
            try {
                work()
            } finally {
                apart++
            }
        }

        synchronized Map read() {
            def now = [ms: worst, computed: worstComputed, mostComputed: mostComputed, doing: worstDoing]
            worst = worstComputed = mostComputed = 0
            worstDoing = ''
            now
        }
    }
}
