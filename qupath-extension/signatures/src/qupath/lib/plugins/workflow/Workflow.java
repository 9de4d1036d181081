package qupath.lib.plugins.workflow;

/** Signatures only: what the extension calls. */
public class Workflow {
    public void addStep(WorkflowStep a) {
        throw new UnsupportedOperationException();
    }

    protected Workflow() {}
}
