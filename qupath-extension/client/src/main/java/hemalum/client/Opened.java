package hemalum.client;

import java.util.List;

/**
 * The plan of a run, as the server made it.
 *
 * @param runId        name of the run
 * @param model        that is used
 * @param foreground   threshold in use
 * @param stain        method in use
 * @param stainMatrix  six optical densities in use: haematoxylin R, G, B, eosin R, G, B; empty if there is none
 * @param table        colour table of this image, or null
 * @param box          level-0 px per side of a sent pixel
 * @param tiles        to be sent
 * @param credits      tiles that may be under way
 * @param measurements names, with units
 * @param device       what it is computed on
 * @param notices      sentences for the user
 * @param identity     of the image, from which names of nuclei derive
 */
public record Opened(String runId, ServerInfo.ModelInfo model, double foreground, String stain, double[] stainMatrix,
                     ColourTable table, int box, List<Tile> tiles, int credits, List<String> measurements,
                     String device, List<String> notices, String identity) {

    /**
     * One tile of the plan.
     *
     * @param index  position in the plan
     * @param x      left edge of what is read, level-0 px
     * @param y      upper edge
     * @param width  of what is read
     * @param height of what is read
     * @param core   x, y, width, height of what the tile answers for, level-0 px; may reach beyond the image
     */
    public record Tile(int index, int x, int y, int width, int height, double[] core) {}
}
