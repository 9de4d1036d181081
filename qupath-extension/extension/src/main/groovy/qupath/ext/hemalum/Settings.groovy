package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.client.SegmentSpec

/** What a run is asked to do. Null and empty mean: as the model's card says. */
@CompileStatic
final class Settings {
    String model = ''
    String server = ''
    String token
    String authority
    Double probability
    Double minArea
    Double partArea
    String stain = ''
    double[] stainMatrix
    Double pixelSize
    boolean measure = true
    Double cellExpansion
    /** Optical densities by QuPath, with the image's own stain vectors. */
    boolean densities
    String className
    SegmentSpec.Encoding encoding = SegmentSpec.Encoding.RAW

    /** An independent copy. */
    Settings copy() {
        new Settings(model: model, server: server, token: token, authority: authority, probability: probability, minArea: minArea,
                partArea: partArea, stain: stain, stainMatrix: stainMatrix == null ? null : (double[]) stainMatrix.clone(), pixelSize: pixelSize, measure: measure,
                cellExpansion: cellExpansion, densities: densities, className: className, encoding: encoding)
    }

    /** The builder calls that make these settings again; never with the token, which does not belong into a script. */
    String script() {
        def lines = ['Hemalum.builder()']
        if (model) lines << "    .model(${quote(model)})".toString()
        if (server) lines << "    .server(${quote(server)})".toString()
        if (authority) lines << "    .authority(${quote(authority)})".toString()
        if (probability != null) lines << "    .probability(${probability})".toString()
        if (minArea != null) lines << "    .minArea(${minArea})".toString()
        if (partArea != null) lines << "    .partArea(${partArea})".toString()
        if (stain) lines << "    .stain(${quote(stain)})".toString()
        if (stainMatrix != null) lines << "    .stainMatrix(${stainMatrix.toList().join('d, ')}d)".toString()
        if (pixelSize != null) lines << "    .pixelSize(${pixelSize})".toString()
        if (!measure) lines << '    .measure(false)'
        if (cellExpansion != null) lines << "    .cells(${cellExpansion})".toString()
        if (densities) lines << '    .densities(true)'
        if (className) lines << "    .classification(${quote(className)})".toString()
        if (encoding != SegmentSpec.Encoding.RAW) lines << "    .encoding('${encoding.name().toLowerCase(Locale.ROOT)}')".toString()
        lines << '    .build()'
        lines.join('\n')
    }

    /** What names these settings, wherever they run; the model is named by its sum elsewhere. */
    String fingerprint() {
        def same = copy()
        same.model = same.server = ''
        same.authority = null
        if (encoding != SegmentSpec.Encoding.JPEG)
            same.encoding = SegmentSpec.Encoding.RAW
        Done.digest(same.script())
    }

    static String quote(String text) {
        "'" + text.replace('\\', '\\\\').replace("'", "\\'").replace('\n', '\\n') + "'"
    }
}
