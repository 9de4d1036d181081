package qupath.lib.plugins.workflow;

import java.util.Map;

/** Signatures only: what the extension calls. */
public class DefaultScriptableWorkflowStep implements ScriptableWorkflowStep {
    public DefaultScriptableWorkflowStep(String a, Map<String, ?> b, String c) {
        throw new UnsupportedOperationException();
    }
    public String getName() {
        throw new UnsupportedOperationException();
    }
    public Map<String, ?> getParameterMap() {
        throw new UnsupportedOperationException();
    }
}
