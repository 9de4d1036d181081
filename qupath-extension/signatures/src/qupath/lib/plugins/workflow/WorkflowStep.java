package qupath.lib.plugins.workflow;

/** Signatures only: what the extension calls. */
public interface WorkflowStep {
}
