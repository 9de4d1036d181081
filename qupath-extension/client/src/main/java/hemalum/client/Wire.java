package hemalum.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import hemalum.v1.ColourTable;
import hemalum.v1.ModelInfo;
import hemalum.v1.Opened;
import hemalum.v1.Parameters;
import hemalum.v1.Pixels;
import hemalum.v1.Polygon;
import hemalum.v1.Ring;
import hemalum.v1.StainMatrix;
import hemalum.v1.Summary;
import hemalum.v1.Thresholds;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Between the messages of the wire and what this package shows of them. */
final class Wire {

    private Wire() {}

    static ServerInfo info(hemalum.v1.ServerInfo wire) {
        return new ServerInfo(wire.getServerVersion(), wire.getReady(), wire.getState(), wire.getDevice(),
                wire.getModelsList().stream().map(Wire::model).toList(), List.copyOf(wire.getBrokenModelsList()),
                wire.getDefaultModel(), List.copyOf(wire.getStainsList()), wire.getLimits().getOverviewSide(),
                List.copyOf(wire.getSlideFoldersList()), wire.getPid(), wire.getRuns());
    }

    static ServerInfo.ModelInfo model(ModelInfo wire) {
        return new ServerInfo.ModelInfo(wire.getId(), wire.getVersion(), wire.getSha256(), wire.getMpp(),
                wire.getLargestNucleusUm(), wire.getLicence(), wire.getLicenceWhy(), wire.getCommercial(),
                wire.getDescription(), wire.getThresholds().getForeground(), wire.getCardJson(), wire.getGenerator());
    }

    static hemalum.v1.Open open(SegmentSpec spec, String client) {
        SegmentSpec.Image image = spec.image();
        return hemalum.v1.Open.newBuilder().setApiVersion(NucleiClient.API_VERSION).setClient(client)
                .setModel(text(spec.model()))
                .setImage(hemalum.v1.Image.newBuilder().setWidth(image.width()).setHeight(image.height())
                        .setMpp(image.mpp()).setMppSource(text(image.mppSource())).setName(text(image.name()))
                        .setZ(image.z())
                        .setT(image.t()))
                .setParameters(parameters(spec)).setQueues(true).build();
    }

    static Parameters parameters(SegmentSpec spec) {
        Parameters.Builder out = Parameters.newBuilder().setStain(text(spec.stain())).setMeasure(spec.measure())
                .setInteractive(spec.interactive());
        Thresholds.Builder thresholds = Thresholds.newBuilder();
        if (spec.foreground() != null)
            thresholds.setForeground(spec.foreground());
        if (spec.minAreaUm2() != null)
            thresholds.setMinAreaUm2(spec.minAreaUm2());
        if (spec.partUm2() != null)
            thresholds.setPartUm2(spec.partUm2());
        out.setThresholds(thresholds);
        for (List<double[]> rings : spec.regions()) {
            Polygon.Builder polygon = Polygon.newBuilder();
            for (double[] xy : rings) {
                Ring.Builder ring = Ring.newBuilder();
                for (double value : xy)
                    ring.addXy(value);
                polygon.addRings(ring);
            }
            out.addRegions(polygon);
        }
        if (spec.stainMatrix() != null)
            out.setStainMatrix(matrix(spec.stainMatrix()));
        return out.build();
    }

    static StainMatrix matrix(double[] six) {
        if (six.length != 6)
            throw new IllegalArgumentException("A stain matrix has six numbers, not " + six.length + ".");
        StainMatrix.Builder out = StainMatrix.newBuilder();
        for (int i = 0; i < 3; i++)
            out.addHaematoxylin(six[i]).addEosin(six[3 + i]);
        return out.build();
    }

    static double[] matrix(StainMatrix wire) {
        if (wire.getHaematoxylinCount() != 3 || wire.getEosinCount() != 3)
            return new double[0];
        double[] six = new double[6];
        for (int i = 0; i < 3; i++) {
            six[i] = wire.getHaematoxylin(i);
            six[3 + i] = wire.getEosin(i);
        }
        return six;
    }

    static hemalum.client.ColourTable table(ColourTable wire) {
        return wire.getSize() < 2 ? null : new hemalum.client.ColourTable(wire.getSize(), wire.getRgb().toByteArray(),
                wire.getStain());
    }

    static hemalum.client.Opened opened(Opened wire) {
        List<hemalum.client.Opened.Tile> tiles = new ArrayList<>(wire.getTilesCount());
        for (hemalum.v1.TilePlan tile : wire.getTilesList()) {
            tiles.add(new hemalum.client.Opened.Tile(tile.getIndex(), tile.getRead().getX(), tile.getRead().getY(),
                    tile.getRead().getWidth(), tile.getRead().getHeight(),
                    new double[] {tile.getCore().getX(), tile.getCore().getY(), tile.getCore().getWidth(),
                    tile.getCore().getHeight()}));
        }
        Parameters used = wire.getParameters();
        return new hemalum.client.Opened(wire.getRunId(), model(wire.getModel()), used.getThresholds().getForeground(),
                used.getStain(), matrix(used.hasStainMatrix() ? used.getStainMatrix() : wire.getStain().getMatrix()),
                wire.hasColourTable() ? table(wire.getColourTable()) : null, wire.getBox(), tiles,
                Math.max(1, wire.getCredits()), List.copyOf(wire.getMeasurementsList()), wire.getDevice(),
                List.copyOf(wire.getNoticesList()), wire.getImage().getIdentity());
    }

    static RunSummary summary(Summary wire, boolean stopped) {
        Map<Integer, String> failed = new TreeMap<>();
        wire.getFailedList().forEach(tile -> failed.put(tile.getIndex(), tile.getReason()));
        return new RunSummary(wire.getNuclei(), wire.getTiles(), failed, new TreeMap<>(wire.getSecondsMap()), stopped);
    }

    static Normalized normalized(hemalum.v1.NormalizeReply wire) {
        return new Normalized(matrix(wire.getStainMatrix()), table(wire.getColourTable()),
                wire.hasThumbnail() ? pixels(wire.getThumbnail()) : null, List.copyOf(wire.getNoticesList()));
    }

    static Pixels pixels(TileSource.Pixels pixels, SegmentSpec.Encoding encoding) {
        Pixels.Builder out = Pixels.newBuilder().setWidth(pixels.width()).setHeight(pixels.height());
        // the arrays are made for this message and never written again, so they need no copy
        ByteString data = UnsafeByteOperations.unsafeWrap(switch (encoding) {
            case RAW -> pixels.rgb();
            case PNG -> Codecs.png(pixels);
            case JPEG -> Codecs.jpeg(pixels);
        });
        return out.setData(data).setEncoding(switch (encoding) {
            case RAW -> Pixels.Encoding.RGB;
            case PNG -> Pixels.Encoding.PNG;
            case JPEG -> Pixels.Encoding.JPEG;
        }).build();
    }

    static TileSource.Pixels pixels(Pixels wire) {
        if (wire.getEncoding() != Pixels.Encoding.RGB
                || wire.getData().size() != 3 * wire.getWidth() * wire.getHeight())
            throw new ServiceException(ServiceException.Kind.SERVER_FAULT, Texts.get("sent.image"), null);
        return new TileSource.Pixels(wire.getWidth(), wire.getHeight(), wire.getData().toByteArray());
    }

    private static String text(String value) {
        return value == null ? "" : value;
    }
}
