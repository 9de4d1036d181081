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
        Builder probability(double value) { settings.probability = value; this }

        /** Smaller nuclei are dropped, µm². */
        Builder minArea(double squareMicrons) { settings.minArea = squareMicrons; this }

        /** A nucleus with parts that are at least so large, µm², is split into them; 0: none is. */
        Builder partArea(double squareMicrons) { settings.partArea = squareMicrons; this }

        /** How the stain of the measurements is estimated: macenko, vahadane, reinhard or none. */
        Builder stain(String method) { settings.stain = method; this }

        /** Optical densities to use instead of an estimate: haematoxylin R, G, B, eosin R, G, B. */
        Builder stainMatrix(double... six) { settings.stainMatrix = six; this }

        /** µm per pixel, for images that state none. */
        Builder pixelSize(double microns) { settings.pixelSize = microns; this }

        /** Whether shape and stain are measured. */
        Builder measure(boolean yes) { settings.measure = yes; this }

        /** Makes cells: nuclei grown by so many µm where there is room. */
        Builder cells(double microns) { settings.cellExpansion = microns; this }

        /** Measures optical densities of the compartments of cells. */
        Builder cellMeasurements(boolean yes) { settings.cellMeasurements = yes; this }

        /** Class of the objects, or null. */
        Builder classification(String name) { settings.className = name; this }

        /** How tiles travel: raw, png (lossless, slow networks) or jpeg (lossy). */
        Builder encoding(String form) { settings.encoding = SegmentSpec.Encoding.valueOf(form.toUpperCase(Locale.ROOT)); this }

        /** Something that can be run as often as wanted. */
        Segmenter build() { new Segmenter(settings.copy()) }
    }
}
