package qupath.ext.hemalum

import groovy.transform.CompileStatic
import hemalum.rules.Correcting
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import javax.imageio.ImageIO
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.ImageServerBuilder
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest

/**
 * Corrected regions as training data: one GeoJSON an image, and a list of the images.
 * <p>
 * Another program will read the pixels from the image's file. Where QuPath shows them otherwise (rotated, flipped, other channels, another
 * plane), the pixels of the regions are written beside the outlines, as they were seen.
 */
@CompileStatic
final class TrainingExport {

    /** Pixels of a region that are written at most. */
    private static final long LARGEST = 100_000_000L
    /** Around a region whose pixels are written, px. */
    private static final int MARGIN = 32
    /** Longest side of the overview that names an image. */
    private static final int OVERVIEW = 2048

    /** What was written, and a sentence for each image that was not. */
    @CompileStatic
    static final class Written {
        int regions
        final List<String> left = []
    }

    private TrainingExport() {}

    /**
     * Writes {@code NAME.geojson} (corrected regions and the nuclei inside) for every image of a project that has such a region, and
     * {@code images.csv}, which {@code hemalum project export} and {@code hemalum improve} read: image (its file), annotations, patient
     * (the entry's metadata of this name), mpp, series, identity (of its overview as QuPath shows it); for people also name, width and
     * height. Takes time: never call it on the user interface's thread.
     *
     * @param open an image that a viewer shows may hold what is not saved yet
     */
    static Written export(Project<BufferedImage> project, Path folder, OpenImages open) {
        Files.createDirectories(folder)
        List<String> rows = ['image,annotations,patient,mpp,name,width,height,series,identity']
        def written = new Written()
        for (ProjectImageEntry<BufferedImage> entry : project.imageList) {
            ImageData<BufferedImage> shown = open.of(entry)
            if (shown == null && !entry.hasImageData())
                continue
            ImageData<BufferedImage> imageData = null
            try {
                imageData = shown ?: entry.readImageData()
                one(imageData, entry, folder, rows, written)
            } catch (Exception e) {
                // of one image; the others are written
                written.left << "${entry.imageName}: ${e.message ?: e.toString()}".toString()
            } finally {
                if (shown == null)
                    imageData?.close()
            }
        }
        Files.write(folder.resolve('images.csv'), rows, StandardCharsets.UTF_8)
        written
    }

    private static void one(ImageData<BufferedImage> imageData, ProjectImageEntry<BufferedImage> entry, Path folder, List<String> rows, Written written) {
        List<PathObject> regions = regions(imageData)
        if (regions.isEmpty())
            return
        def server = imageData.server
        def calibration = server.pixelCalibration
        if (!Segmenter.square(calibration))
            throw new IllegalStateException(Strings.get('error.not.square', calibration.pixelWidthMicrons, calibration.pixelHeightMicrons))
        String stem = "${entry.imageName.replaceAll('[^\\w.-]+', '_')}-${entry.ID}"
        List<String> common = [entry.metadata['patient'] ?: '', calibration.hasPixelSizeMicrons() ? calibration.averagedPixelSizeMicrons.toString() : '', entry.imageName]
        List<PathObject> plain = regions.findAll { PathObject it -> asStored(server) && it.ROI.imagePlane == ImagePlane.defaultPlane }
        if (!plain.isEmpty()) {
            List<PathObject> objects = plain.collectMany { PathObject it -> [it] + inside(imageData, it) }.unique { PathObject it -> it.ID }
            PathIO.exportObjectsAsGeoJSON(folder.resolve(stem + '.geojson'), objects, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
            String identity = new SlideTiles(server, ImagePlane.defaultPlane).overview(OVERVIEW).identity(server.width, server.height)
            rows << row(address(server.getURIs()), stem + '.geojson', common, server.width, server.height, series(server), identity)
            written.regions += plain.size()
        }
        regions.findAll { PathObject it -> !plain.contains(it) }.eachWithIndex { PathObject region, int i ->
            seen(imageData, region, folder, "$stem-${i + 1}".toString(), common, rows)
            written.regions++
        }
    }

    /** One region with its pixels as QuPath shows them. */
    private static void seen(ImageData<BufferedImage> imageData, PathObject region, Path folder, String stem, List<String> common, List<String> rows) {
        def server = imageData.server
        def roi = region.ROI
        int x = (int) Math.max(0, Math.floor(roi.boundsX) - MARGIN), y = (int) Math.max(0, Math.floor(roi.boundsY) - MARGIN)
        int width = (int) Math.min(server.width - x, Math.ceil(roi.boundsX + roi.boundsWidth) + MARGIN - x)
        int height = (int) Math.min(server.height - y, Math.ceil(roi.boundsY + roi.boundsHeight) + MARGIN - y)
        if (width < 1 || height < 1 || !server.isRGB() || (long) width * height > LARGEST)
            throw new IllegalStateException(Strings.get('error.export.large', width, height))
        BufferedImage pixels = server.readRegion(RegionRequest.createInstance(server.path, 1.0d, x, y, width, height, roi.imagePlane))
        if (pixels == null)
            throw new IOException(Strings.get('error.no.pixels', x, y))
        def plain = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB)
        plain.setRGB(0, 0, width, height, pixels.getRGB(0, 0, width, height, null, 0, width), 0, width)
        ImageIO.write(plain, 'png', folder.resolve(stem + '.png').toFile())
        List<PathObject> objects = ([region] + inside(imageData, region)).collect { PathObject object ->
            def moved = QuPathView.outline(object).translate(-x, -y).updatePlane(ImagePlane.defaultPlane)
            PathObject made = object.isAnnotation() ? PathObjects.createAnnotationObject(moved, object.pathClass)
                    : PathObjects.createDetectionObject(moved, object.pathClass, object.measurementList)
            made.setID(object.ID)
            made.metadata.putAll(object.metadata)
            made
        }
        PathIO.exportObjectsAsGeoJSON(folder.resolve(stem + '.geojson'), objects, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
        rows << row(folder.resolve(stem + '.png').toAbsolutePath().toString(), stem + '.geojson', common, width, height, '', '')
    }

    /** Whether the pixels are those of the file: neither turned nor cropped nor recoloured. */
    static boolean asStored(ImageServer<BufferedImage> server) {
        server.getURIs().size() == 1 && server.builder instanceof ImageServerBuilder.DefaultImageServerBuilder
    }

    /** Which image of a file, where QuPath was told. */
    private static String series(ImageServer<BufferedImage> server) {
        List<String> arguments = (((ImageServerBuilder.DefaultImageServerBuilder) server.builder).args ?: new String[0]).toList()
        int at = arguments.indexOf('--series')
        at >= 0 && at + 1 < arguments.size() ? arguments[at + 1] : arguments.find { it.startsWith('--series=') }?.substring(9) ?: ''
    }

    private static String address(Collection<URI> addresses) {
        addresses.collect { URI it -> it.scheme == 'file' ? Path.of(it).toString() : it.toString() }.join(' ')
    }

    /** The finished regions of an image. */
    private static List<PathObject> regions(ImageData<BufferedImage> imageData) {
        imageData.hierarchy.annotationObjects.findAll { PathObject it -> Corrections.isComplete(it) && !Corrections.open(it) && it.ROI.isArea() }.toList()
    }

    /** All detections with their centre in a region, on its plane. */
    private static List<PathObject> inside(ImageData<BufferedImage> imageData, PathObject region) {
        Correcting.inside(QuPathView.IT, region, imageData.hierarchy.detectionObjects)
    }

    /** The finished regions of an image and the nuclei inside them. */
    static List<PathObject> objects(ImageData<BufferedImage> imageData) {
        regions(imageData).collectMany { PathObject it -> [it] + inside(imageData, it) }
    }

    private static String row(String image, String annotations, List<String> common, int width, int height, String series, String identity) {
        List<String> cells = [image, annotations]
        cells.addAll(common)
        cells.addAll([width.toString(), height.toString(), series, identity])
        cells.collect { String it -> quote(it) }.join(',')
    }

    private static String quote(String text) {
        text =~ /[",\r\n]/ ? '"' + text.replace('"', '""') + '"' : text
    }
}
