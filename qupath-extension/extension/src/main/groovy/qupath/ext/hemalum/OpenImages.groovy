package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/** What the viewers show now, and what becomes of an image that was closed while a run went on; from any thread. */
@CompileStatic
final class OpenImages {

    private final QuPathGUI qupath
    private final Project<BufferedImage> project

    /**
     * @param qupath  the window, or null where there is none
     * @param project whose images are meant, or null
     */
    OpenImages(QuPathGUI qupath, Project<BufferedImage> project) {
        this.qupath = qupath
        this.project = project
    }

    /** The data of an entry's image that is open, or null. It may hold what is not saved yet. */
    ImageData<BufferedImage> of(ProjectImageEntry<BufferedImage> entry) {
        all().find { ImageData<BufferedImage> it -> project?.getEntry(it) == entry }
    }

    /** Whether a viewer shows this image. */
    boolean shows(ImageData<BufferedImage> imageData) {
        all().any { ImageData<BufferedImage> it -> it.is(imageData) }
    }

    /**
     * Saves the nuclei of an image that no viewer shows any more. Takes time: never call it on the user interface's thread.
     *
     * @return false where that would undo what the user decided since: the image was closed without being saved, or is open anew
     */
    boolean saveClosed(ImageData<BufferedImage> imageData, Segmenter.Result result) {
        def entry = project?.getEntry(imageData)
        if (entry == null || result.unsaved || of(entry) != null)
            return false
        entry.saveImageData(imageData)
        project.syncChanges()
        true
    }

    /** What changes when somebody saves an entry's image. */
    static String stamp(ProjectImageEntry<BufferedImage> entry) {
        Path stored = entry.entryPath?.resolve('data.qpdata')
        stored != null && Files.exists(stored) ? "${Files.getLastModifiedTime(stored)} ${Files.size(stored)}" : ''
    }

    private List<ImageData<BufferedImage>> all() {
        if (qupath == null)
            return []
        List<QuPathViewer> viewers = FXUtils.callOnApplicationThread { new ArrayList<QuPathViewer>(qupath.allViewers) }
        viewers.collect { QuPathViewer viewer -> viewer.imageData }.findAll { data -> data != null }.toList()
    }
}
