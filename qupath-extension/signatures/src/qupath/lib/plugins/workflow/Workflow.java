package qupath.lib.plugins.workflow;

import java.util.List;
/** Signatures only: what the extension calls. */
public class Workflow {
    public void addStep(WorkflowStep a) {
        throw new UnsupportedOperationException();
    }

    protected Workflow() {}
    public List<WorkflowStep> getSteps() {
        throw new UnsupportedOperationException();
    }
}
