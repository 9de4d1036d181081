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
     * region, and {@code images.csv}: name, geojson, image (its address), width, height, mpp.
     *
     * @return how many regions were written
     */
    static int export(Project<BufferedImage> project, Path folder) {
        Files.createDirectories(folder)
        List<String> rows = ['name,geojson,image,width,height,mpp']
        int regions = 0
        for (ProjectImageEntry<BufferedImage> entry : project.imageList) {
            if (!entry.hasImageData())
                continue
            ImageData<BufferedImage> imageData = entry.readImageData()
            try {
                List<PathObject> objects = objects(imageData)
                int here = objects.count { PathObject it -> it.isAnnotation() } as int
                if (here == 0)
                    continue
                regions += here
                String file = "${entry.imageName.replaceAll('[^\\w.-]+', '_')}-${entry.ID}.geojson"
                PathIO.exportObjectsAsGeoJSON(folder.resolve(file), objects, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
                def calibration = imageData.server.pixelCalibration
                rows << [entry.imageName, file, imageData.server.getURIs().join(' '), imageData.server.width, imageData.server.height,
                         calibration.hasPixelSizeMicrons() ? calibration.averagedPixelSizeMicrons : ''].collect { quote(it.toString()) }.join(',')
            } finally {
                imageData.close()
            }
        }
        Files.write(folder.resolve('images.csv'), rows, StandardCharsets.UTF_8)
        regions
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
