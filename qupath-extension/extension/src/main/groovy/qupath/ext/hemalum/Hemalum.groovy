package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.SegmentSpec

/**
 * The way in for scripts.
 * <pre>
 * import qupath.ext.hemalum.Hemalum
 *
 * selectAnnotations()
 * Hemalum.builder().model('nuclei').build().segmentSelected(getCurrentImageData())
 * </pre>
 * What is not set is as the model's card says; the server is the one of the preferences, or a local one that is started.
 */
@CompileStatic
final class Hemalum {

    private Hemalum() {}

    /** All defaults. */
    static Builder builder() {
        new Builder()
    }

    /** What a run is asked to do, collected call by call. */
    @CompileStatic
    static final class Builder {
        private final Settings settings = new Settings()

        /** Id of the model. */
        Builder model(String id) { settings.model = id; this }

        /** Address of the server, {@code host:port}; without it that of the preferences, or a local server. */
        Builder server(String address) { settings.server = address; this }

        /** What the server asks for. */
        Builder token(String token) { settings.token = token; this }

        /** PEM file of the authority that signed the server's certificate. */
        Builder authority(String file) { settings.authority = file; this }

        /** Probability from which a pixel belongs to a nucleus, 0 to 1. */
        Builder probability(double value) { settings.probability = within('probability', value, 0, 1); this }

        /** Smaller nuclei are dropped, µm². */
        Builder minArea(double squareMicrons) { settings.minArea = within('minArea', squareMicrons, 0, 1e6); this }

        /** A nucleus with parts that are at least so large, µm², is split into them; 0: none is. */
        Builder partArea(double squareMicrons) { settings.partArea = within('partArea', squareMicrons, 0, 1e6); this }

        /** How the stain of the measurements is estimated: macenko, vahadane, reinhard, learned or none. */
        Builder stain(String method) { settings.stain = method; this }

        /** Optical densities to use instead of an estimate: haematoxylin R, G, B, eosin R, G, B. */
        Builder stainMatrix(double... six) { settings.stainMatrix = six; this }

        /** µm per pixel, for images that state none. */
        Builder pixelSize(double microns) { settings.pixelSize = within('pixelSize', microns, 0.05, 4); this }

        /** Whether shape and stain are measured. */
        Builder measure(boolean yes) { settings.measure = yes; this }

        /** Makes cells: nuclei grown by so many µm where there is room. */
        Builder cells(double microns) { settings.cellExpansion = within('cells', microns, 0.1, 100); this }

        /** Measures optical densities of nuclei, and of the compartments of cells, by the image's own stain vectors; takes longer. */
        Builder densities(boolean yes) { settings.densities = yes; this }

        /** The name that {@link #densities} had when it measured cells only. */
        Builder cellMeasurements(boolean yes) { densities(yes) }

        /** Class of the objects, or null. */
        Builder classification(String name) { settings.className = name; this }

        /** How tiles travel: raw, png (lossless, slow networks) or jpeg (lossy). */
        Builder encoding(String form) {
            settings.encoding = SegmentSpec.Encoding.values().find { it.name().equalsIgnoreCase(form?.trim()) }
            if (settings.encoding == null)
                throw new IllegalArgumentException(Strings.get('error.encoding', form))
            this
        }

        /** Something that can be run as often as wanted. */
        Segmenter build() { new Segmenter(settings.copy()) }

        private static double within(String what, double value, double least, double most) {
            if (!(value >= least && value <= most))
                throw new IllegalArgumentException(Strings.get('error.builder', what, value, least, most))
            value
        }
    }
}
