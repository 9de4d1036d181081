package hemalum.client;

import java.util.List;

/**
 * What a run is asked to do.
 *
 * @param model        id, or empty for the server's default
 * @param image        the image whose pixels will be sent
 * @param regions      polygons in level-0 px, each a list of rings (outside first) of x, y, x, y …; empty: the whole
 *                     image
 * @param foreground   probability from which a pixel belongs to a nucleus; null: as the model's card says
 * @param minAreaUm2   smaller nuclei are dropped; null: as the card says
 * @param partUm2      a nucleus with parts that are at least so large is split into them; 0: none is; null: as the card
 *                     says
 * @param stain        how the stain of the measurements is estimated; empty: the server's default
 * @param stainMatrix  six optical densities (haematoxylin R, G, B, eosin R, G, B) to use instead, or null
 * @param measure      whether measurements are wanted
 * @param interactive  whether a person waits
 * @param encoding     of tiles on the wire
 * @param centre       x, y in level-0 px from which tiles are sent outward, or null for the plan's order
 */
public record SegmentSpec(String model, Image image, List<List<double[]>> regions, Double foreground, Double minAreaUm2,
                          Double partUm2, String stain, double[] stainMatrix, boolean measure, boolean interactive,
                          Encoding encoding, double[] centre) {

    /** How pixels travel. */
    public enum Encoding {
        /** Raw bytes: for this computer and a fast network. */
        RAW,
        /** Lossless, two thirds of the size: for a slow network. */
        PNG,
        /** A sixth of the size; changes nuclei a little. */
        JPEG
    }

    /**
     * The image of a run.
     *
     * @param width     level-0 px
     * @param height    level-0 px
     * @param mpp       µm per level-0 px
     * @param mppSource where that number comes from
     * @param name      for people
     * @param z         plane
     * @param t         time point
     */
    public record Image(int width, int height, double mpp, String mppSource, String name, int z, int t) {}

    /** All defaults for one image, in its whole. */
    public static SegmentSpec of(Image image) {
        return new SegmentSpec("", image, List.of(), null, null, null, "", null, true, true, Encoding.RAW, null);
    }
}
