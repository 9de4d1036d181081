package qupath.lib.plugins.workflow;

import java.util.Map;

/** Signatures only: what the extension calls. */
public interface WorkflowStep {
    String getName();
    Map<String, ?> getParameterMap();
}
