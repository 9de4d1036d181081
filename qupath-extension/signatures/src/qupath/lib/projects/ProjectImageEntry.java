package qupath.lib.projects;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import qupath.lib.images.ImageData;

/** Signatures only: what the extension calls. */
public interface ProjectImageEntry<T> {
    Path getEntryPath();
    String getID();
    String getImageName();
    Map<String, String> getMetadata();
    T getThumbnail() throws IOException;
    boolean hasImageData();
    ImageData<T> readImageData() throws IOException;
    void saveImageData(ImageData<T> a) throws IOException;
    void setThumbnail(T a) throws IOException;
}
