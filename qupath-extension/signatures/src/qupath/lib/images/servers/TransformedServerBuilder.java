package qupath.lib.images.servers;

import java.awt.image.BufferedImage;
import qupath.lib.color.ColorDeconvolutionStains;

/** Signatures only: what the extension calls. */
public class TransformedServerBuilder {
    public TransformedServerBuilder(ImageServer<BufferedImage> a) {
        throw new UnsupportedOperationException();
    }
    public ImageServer<BufferedImage> build() {
        throw new UnsupportedOperationException();
    }
    public TransformedServerBuilder deconvolveStains(ColorDeconvolutionStains a, int... b) {
        throw new UnsupportedOperationException();
    }
}
