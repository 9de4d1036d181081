package hemalum.client;

import java.util.List;

/**
 * An image's stain, and how it looks in the reference one.
 *
 * @param stainMatrix six optical densities: haematoxylin R, G, B, eosin R, G, B
 * @param table       shows the image in the reference stain
 * @param thumbnail   the overview in the reference stain, or null
 * @param notices     sentences for the user
 */
public record Normalized(double[] stainMatrix, ColourTable table, TileSource.Pixels thumbnail, List<String> notices) {}
