package qupath.ext.hemalum

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import qupath.lib.images.ImageData
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/** Corrected regions as training data: one GeoJSON an image, and a list of the images. */
@CompileStatic
final class TrainingExport {

    private TrainingExport() {}

    /**
     * Writes {@code NAME.geojson} (regions of class Complete and the nuclei inside) for every image of a project that has such a
     * region, and {@code images.csv}, which {@code hemalum project export} and {@code hemalum improve} read: image (its file),
     * annotations, patient (the entry's metadata of this name), mpp; for people also name, width and height. Takes time: never call it on
     * the user interface's thread.
     *
     * @param open an image that a viewer shows may hold what is not saved yet
     * @return how many regions were written
     */
    static int export(Project<BufferedImage> project, Path folder, OpenImages open) {
        Files.createDirectories(folder)
        List<String> rows = ['image,annotations,patient,mpp,name,width,height']
        int regions = 0
        for (ProjectImageEntry<BufferedImage> entry : project.imageList) {
            ImageData<BufferedImage> shown = open.of(entry)
            if (shown == null && !entry.hasImageData())
                continue
            ImageData<BufferedImage> imageData = shown ?: entry.readImageData()
            try {
                List<PathObject> objects = objects(imageData)
                int here = objects.count { PathObject it -> it.isAnnotation() } as int
                if (here == 0)
                    continue
                regions += here
                String file = "${entry.imageName.replaceAll('[^\\w.-]+', '_')}-${entry.ID}.geojson"
                PathIO.exportObjectsAsGeoJSON(folder.resolve(file), objects, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
                def server = imageData.server
                def calibration = server.pixelCalibration
                rows << [address(server.getURIs()), file, entry.metadata['patient'] ?: '',
                         calibration.hasPixelSizeMicrons() ? calibration.averagedPixelSizeMicrons : '',
                         entry.imageName, server.width, server.height].collect { quote(it.toString()) }.join(',')
            } finally {
                if (shown == null)
                    imageData.close()
            }
        }
        Files.write(folder.resolve('images.csv'), rows, StandardCharsets.UTF_8)
        regions
    }

    private static String address(Collection<URI> addresses) {
        addresses.collect { URI it -> it.scheme == 'file' ? Path.of(it).toString() : it.toString() }.join(' ')
    }

    /** The finished regions of an image and the nuclei inside them. */
    static List<PathObject> objects(ImageData<BufferedImage> imageData) {
        List<PathObject> all = []
        imageData.hierarchy.annotationObjects.findAll { PathObject it ->
            Corrections.isComplete(it) && !Corrections.open(it)
        }.each { PathObject region ->
            all.add(region)
            all.addAll(region.childObjects.findAll { PathObject it -> it.isDetection() })
        }
        all
    }

    private static String quote(String text) {
        text =~ /[",\n]/ ? '"' + text.replace('"', '""') + '"' : text
    }
}
