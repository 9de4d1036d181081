package hemalum.client;

import hemalum.client.ServiceException.Kind;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.UUID;

/**
 * Nuclei that are final, column by column.
 *
 * @param vertices     x, y, x, y … of all outlines, in 1/8 level-0 px; rings are open
 * @param offsets      N + 1 numbers: first vertex of each nucleus, then the number of vertices
 * @param probability  N numbers, 0…1
 * @param ids          N names; the same nucleus has the same in every run
 * @param centroids    x, y of each outline's area, level-0 px
 * @param tiles        N numbers: the tile that found it
 * @param names        of the measurements
 * @param measurements one array of N numbers for each name
 */
public record FoundNuclei(int[] vertices, int[] offsets, float[] probability, UUID[] ids, double[] centroids,
                          int[] tiles, List<String> names, float[][] measurements) {

    /** Steps of an outline's coordinates in one level-0 px. */
    public static final int UNIT = 8;

    /** How many there are. */
    public int size() {
        return offsets.length - 1;
    }

    /** The x coordinates of a nucleus's outline, level-0 px. */
    public double[] xs(int nucleus) {
        return axis(nucleus, 0);
    }

    /** The y coordinates of a nucleus's outline, level-0 px. */
    public double[] ys(int nucleus) {
        return axis(nucleus, 1);
    }

    private double[] axis(int nucleus, int axis) {
        double[] values = new double[offsets[nucleus + 1] - offsets[nucleus]];
        for (int i = 0; i < values.length; i++)
            values[i] = vertices[2 * (offsets[nucleus] + i) + axis] / (double) UNIT;
        return values;
    }

    /**
     * The vertices that {@code hemalum.nuclei.pack} made these numbers of.
     *
     * @param counts vertices of each nucleus
     * @param deltas dx, dy of every vertex to the one before it, across nuclei too
     * @return x, y, x, y …
     * @throws ServiceException if the numbers do not fit each other
     */
    static int[] unpack(List<Integer> counts, List<Integer> deltas) {
        long total = 0;
        for (int count : counts) {
            if (count < 3)
                throw new ServiceException(Kind.SERVER_FAULT, Texts.get("sent.short.outline"), null);
            total += count;
        }
        if (2 * total != deltas.size())
            throw new ServiceException(Kind.SERVER_FAULT, Texts.get("sent.outlines"), null);
        int[] vertices = new int[deltas.size()];
        int x = 0, y = 0;
        for (int i = 0; i < vertices.length; i += 2) {
            vertices[i] = x += deltas.get(i);
            vertices[i + 1] = y += deltas.get(i + 1);
        }
        return vertices;
    }

    static FoundNuclei of(hemalum.v1.FoundNuclei wire) {
        int n = wire.getVertexCountsCount();
        int[] offsets = new int[n + 1];
        for (int i = 0; i < n; i++)
            offsets[i + 1] = offsets[i] + wire.getVertexCounts(i);
        ByteBuffer bytes = wire.getIds().asReadOnlyByteBuffer();
        boolean complete = bytes.remaining() == 16 * n && wire.getProbabilityCount() == n
                && wire.getCentroidsCount() == 2 * n && wire.getTilesCount() == n && wire.getMeasurementsList().stream()
                .allMatch(column -> column.getValuesCount() == n);
        if (!complete)
            throw new ServiceException(Kind.SERVER_FAULT, Texts.get("sent.columns"), null);
        UUID[] ids = new UUID[n];
        float[] probability = new float[n];
        double[] centroids = new double[2 * n];
        int[] tiles = new int[n];
        for (int i = 0; i < n; i++) {
            ids[i] = new UUID(bytes.getLong(), bytes.getLong());
            probability[i] = wire.getProbability(i);
            centroids[2 * i] = wire.getCentroids(2 * i);
            centroids[2 * i + 1] = wire.getCentroids(2 * i + 1);
            tiles[i] = wire.getTiles(i);
        }
        float[][] measurements = new float[wire.getMeasurementsCount()][n];
        for (int m = 0; m < measurements.length; m++) {
            for (int i = 0; i < n; i++)
                measurements[m][i] = wire.getMeasurements(m).getValues(i);
        }
        return new FoundNuclei(unpack(wire.getVertexCountsList(), wire.getDeltasList()), offsets, probability, ids,
                centroids, tiles, wire.getMeasurementsList().stream().map(hemalum.v1.Column::getName).toList(),
                measurements);
    }
}
