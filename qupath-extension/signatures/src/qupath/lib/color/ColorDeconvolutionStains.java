package qupath.lib.color;

/** Signatures only: what the extension calls. */
public class ColorDeconvolutionStains {

    protected ColorDeconvolutionStains() {}
}
