package hemalum.client;

import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.util.ArrayList;
import java.util.List;

/**
 * What a server says about itself.
 *
 * @param version           of the server's package
 * @param ready             false while it still loads
 * @param state             one sentence for people
 * @param device            what it computes on
 * @param models            those that can be used
 * @param brokenModels      sentences about those that cannot
 * @param defaultModel      what is used when none is named
 * @param stains            ways to estimate the stain
 * @param overviewSide      longest side of an overview, px
 * @param slideFolders      folders whose slides the server reads itself
 * @param pid               process number, as the server sees it
 * @param runs              under way now
 */
public record ServerInfo(String version, boolean ready, String state, String device, List<ModelInfo> models,
                         List<String> brokenModels, String defaultModel, List<String> stains, int overviewSide,
                         List<String> slideFolders, long pid, int runs) {

    /**
     * A model and what a user should know of it.
     *
     * @param id                its name
     * @param version           of the model
     * @param sha256            of its weights
     * @param mpp               µm per pixel it works at
     * @param largestNucleusUm  diameter of the largest nucleus it was made for
     * @param licence           SPDX identifier of the weights
     * @param licenceWhy        where that licence comes from
     * @param commercial        whether commercial use is allowed
     * @param description       one sentence
     * @param foreground        default probability from which a pixel belongs to a nucleus
     * @param cardJson          the whole card
     * @param generator         whether it can translate a tile into its reference stain (
     *                          {@link NucleiClient#translate})
     */
    public record ModelInfo(String id, String version, String sha256, double mpp, double largestNucleusUm,
                            String licence, String licenceWhy, boolean commercial, String description,
                            double foreground, String cardJson, boolean generator) {

        /**
         * How good the model was on images that it did not learn from: AJI by image set, as its card says; empty if it
         * says nothing.
         */
        public List<Score> scores() {
            List<Score> found = new ArrayList<>();
            try {
                JsonObject sets = JsonParser.parseString(cardJson).getAsJsonObject().getAsJsonObject("scores")
                        .getAsJsonObject("images");
                for (String set : sets.keySet())
                    found.add(new Score(set, "AJI", sets.getAsJsonObject(set).get("aji").getAsDouble()));
            } catch (JsonParseException | IllegalStateException | NullPointerException | ClassCastException
                    | UnsupportedOperationException e) {
                // a card need not have any, and its other keys stay readable
                return List.of();
            }
            return found;
        }
    }

    /** One measured figure: which image set, which measure, 0 to 1. */
    public record Score(String name, String measure, double value) {}

    /**
     * The model of this name.
     *
     * @param id a name, or empty for the server's default
     * @throws ServiceException of kind {@code MODEL_MISSING}, naming those that are there
     */
    public ModelInfo model(String id) {
        String wanted = id == null || id.isBlank() ? defaultModel : id;
        for (ModelInfo model : models) {
            if (model.id().equals(wanted))
                return model;
        }
        String sentence = models.isEmpty() ? Texts.get("model.none", wanted)
                : Texts.get("model.missing", wanted, String.join(", ", models.stream().map(ModelInfo::id).toList()));
        throw new ServiceException(ServiceException.Kind.MODEL_MISSING, sentence, null);
    }
}
