package qupath.lib.projects;

import java.io.IOException;
import java.util.List;
import qupath.lib.images.ImageData;

/** Signatures only: what the extension calls. */
public interface Project<T> {
    ProjectImageEntry<T> getEntry(ImageData<T> a);
    List<ProjectImageEntry<T>> getImageList();
    void syncChanges() throws IOException;
}
