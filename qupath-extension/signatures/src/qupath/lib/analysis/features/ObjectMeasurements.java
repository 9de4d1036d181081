package qupath.lib.analysis.features;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.Collection;
import qupath.lib.images.servers.ImageServer;
import qupath.lib.images.servers.PixelCalibration;
import qupath.lib.objects.PathObject;

/** Signatures only: what the extension calls. */
public class ObjectMeasurements {
    public static void addIntensityMeasurements(ImageServer<BufferedImage> a, PathObject b, double c, Collection<ObjectMeasurements.Measurements> d, Collection<ObjectMeasurements.Compartments> e) throws IOException {
        throw new UnsupportedOperationException();
    }

    public static void addShapeMeasurements(PathObject a, PixelCalibration b, ObjectMeasurements.ShapeFeatures... c) {
        throw new UnsupportedOperationException();
    }

    protected ObjectMeasurements() {}

    public enum Measurements {
        MAX, MEAN, MIN, STD_DEV;
    }

    public enum Compartments {
        CELL, CYTOPLASM, NUCLEUS;
    }

    public enum ShapeFeatures {
    }
}
