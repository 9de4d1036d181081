package qupath.lib.images;

import qupath.lib.color.ColorDeconvolutionStains;
import qupath.lib.images.servers.ImageServer;
import qupath.lib.images.servers.ImageServerMetadata;
import qupath.lib.objects.hierarchy.PathObjectHierarchy;
import qupath.lib.plugins.workflow.Workflow;

/** Signatures only: what the extension calls. */
public class ImageData<T> {
    public void close() throws Exception {
        throw new UnsupportedOperationException();
    }
    public ColorDeconvolutionStains getColorDeconvolutionStains() {
        throw new UnsupportedOperationException();
    }
    public PathObjectHierarchy getHierarchy() {
        throw new UnsupportedOperationException();
    }
    public Workflow getHistoryWorkflow() {
        throw new UnsupportedOperationException();
    }
    public ImageData.ImageType getImageType() {
        throw new UnsupportedOperationException();
    }
    public ImageServer<T> getServer() {
        throw new UnsupportedOperationException();
    }
    public boolean isChanged() {
        throw new UnsupportedOperationException();
    }
    public void setChanged(boolean a) {
        throw new UnsupportedOperationException();
    }

    protected ImageData() {}

    public enum ImageType {
        BRIGHTFIELD_H_E, UNSET;
    }
    public void updateServerMetadata(ImageServerMetadata a) {
        throw new UnsupportedOperationException();
    }
}
