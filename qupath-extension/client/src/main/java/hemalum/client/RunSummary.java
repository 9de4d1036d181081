package hemalum.client;

import java.util.Map;

/**
 * How a run ended.
 *
 * @param nuclei  found
 * @param tiles   planned
 * @param failed  tile → reason; empty: the run is complete
 * @param seconds worker time of each stage, and "total"
 * @param stopped whether the user ended it early and keeps what was finished
 */
public record RunSummary(long nuclei, int tiles, Map<Integer, String> failed, Map<String, Double> seconds,
        boolean stopped) {

    /** Whether every tile was segmented. */
    public boolean complete() {
        return failed.isEmpty() && !stopped;
    }
}
