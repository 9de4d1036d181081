package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.NucleiClient
import hemalum.client.RunControl
import hemalum.client.ServerInfo
import hemalum.client.ServiceException
import hemalum.rules.Choice
import java.awt.image.BufferedImage
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/** The images of a project one after another, each saved when it is done. */
@CompileStatic
final class ProjectRun {

    private static final Logger logger = LoggerFactory.getLogger(ProjectRun)

    /** What became of an image. */
    @CompileStatic
    static enum State {
        WAITING, RUNNING, DONE, PARTLY, SKIPPED, LEFT, FAILED, STOPPED

        @Override
        String toString() {
            Strings.get('project.state.' + name().toLowerCase(Locale.ROOT))
        }
    }

    /** One image of the list. */
    @CompileStatic
    static final class Row {
        final String image
        State state = State.WAITING
        int nuclei
        double minutes
        String reason = ''

        Row(String image) {
            this.image = image
        }
    }

    /** What is told of a project's run beside that of each image; from the run's thread. */
    @CompileStatic
    static interface Watch {
        /** The image of this row, counted from 0, has changed. */
        void changed(List<Row> rows, int row)
    }

    private final Project<BufferedImage> project
    private final Segmenter segmenter
    private final RunControl control
    private final OpenImages open
    private final Monitor monitor

    /** @param open an image that a viewer shows is changed in place and not saved behind the user's back */
    ProjectRun(Project<BufferedImage> project, Segmenter segmenter, Monitor monitor, RunControl control, OpenImages open) {
        this.project = project
        this.segmenter = segmenter
        this.control = control
        this.open = open
        this.monitor = monitor
    }

    /**
     * Segments every image: its TMA cores and annotations if it has any, else the whole of it, never what a person has corrected. An image
     * that fails does not stop the others; one that is set to another stain than H&E is left out, since nobody can be asked; one that was
     * done with this model and these settings is not done again.
     *
     * @return a row for every image of the project
     * @throws ServiceException if there is no server
     */
    List<Row> run(Watch watch) {
        List<ProjectImageEntry<BufferedImage>> entries = project.imageList
        List<Row> rows = entries.collect { ProjectImageEntry<BufferedImage> it -> new Row(it.imageName) }
        String sum = modelSum()
        entries.eachWithIndex { ProjectImageEntry<BufferedImage> entry, int i ->
            Row row = rows[i]
            row.state = control.isStopped() ? State.STOPPED : State.RUNNING
            watch.changed(rows, i)
            if (row.state == State.STOPPED)
                return
            long begun = System.nanoTime()
            monitor.stage(Strings.get('project.image', i + 1, entries.size(), entry.imageName))
            try {
                image(entry, row, sum)
            } catch (Exception e) {
                logger.debug('Hemalum failed', e)
                boolean ended = control.isCancelled() || control.isStopped() && e instanceof ServiceException && ((ServiceException) e).kind() == ServiceException.Kind.CANCELLED
                row.state = ended ? State.STOPPED : State.FAILED
                row.reason = ended ? '' : e.message ?: e.toString()
            }
            row.minutes = (System.nanoTime() - begun) / 6e10d
            logger.info('Hemalum: {} of {}: {}: {}, {} nuclei, {} min. {}', i + 1, entries.size(), row.image, row.state, row.nuclei,
                    Math.round(row.minutes * 10) / 10.0d, row.reason)
            watch.changed(rows, i)
        }
        rows
    }

    /** Of the model that will be used; fails where there is no server, so that not every image has to. */
    private String modelSum() {
        NucleiClient client = Connections.open(segmenter.settings)
        try {
            ServerInfo info = client.info()
            String wanted = segmenter.settings.model ?: info.defaultModel()
            info.models().find { it.id() == wanted }?.sha256()
        } finally {
            client.close()
        }
    }

    private void image(ProjectImageEntry<BufferedImage> entry, Row row, String sum) {
        ImageData<BufferedImage> shown = open.of(entry)
        String stamp = OpenImages.stamp(entry)
        ImageData<BufferedImage> imageData = shown ?: entry.readImageData()
        try {
            if (!SegmentCommand.isHE(imageData)) {
                row.state = State.LEFT
                row.reason = Strings.get('project.not.he', imageData.imageType.toString())
                return
            }
            def server = imageData.server
            List<String> said = []
            Segmenter.Result last = null
            int failed = 0, tiles = 0
            List<Choice<PathObject>> choices = Choice.ofImage(QuPathView.IT, imageData.hierarchy.rootObject, QuPathView.regions(imageData.hierarchy),
                    server.width, server.height)
            for (Choice<PathObject> choice : choices) {
                if (Done.already(imageData, sum, segmenter.settings.fingerprint(), Done.regions(choice.regions())))
                    continue
                last = segmenter.run(imageData, choice.whole() ? Where.IMAGE : Where.SELECTED, choice.regions(), monitor, control, null)
                row.nuclei += last.nuclei
                failed += last.summary.failed().size()
                tiles += last.summary.tiles()
                said.addAll(last.notices)
            }
            if (last == null) {
                row.state = State.SKIPPED
                row.reason = Strings.get('project.already')
                return
            }
            save(entry, shown, imageData, last, stamp, said)
            row.state = failed == 0 ? State.DONE : State.PARTLY
            if (failed > 0)
                said.add(0, Strings.get('project.partly', failed, tiles, last.summary.failed().values().find() ?: ''))
            row.reason = said.join(' ')
        } finally {
            if (shown == null)
                imageData.close()
        }
    }

    /** Saves an image unless that would undo what a person has done meanwhile. */
    private void save(ProjectImageEntry<BufferedImage> entry, ImageData<BufferedImage> shown, ImageData<BufferedImage> imageData,
                      Segmenter.Result result, String stamp, List<String> said) {
        if (shown == null) {
            if (open.of(entry) != null)
                throw new IllegalStateException(Strings.get('error.opened'))
            if (OpenImages.stamp(entry) != stamp)
                throw new IllegalStateException(Strings.get('error.saved'))
            entry.saveImageData(imageData)
            project.syncChanges()
        } else if (open.shows(shown)) {
            said.add(0, Strings.get('project.open'))
        } else if (!open.saveClosed(shown, result)) {
            throw new IllegalStateException(Strings.get('error.closed', entry.imageName))
        }
    }
}
