package qupath.lib.objects.hierarchy.events;

/** Signatures only: what the extension calls. */
public class PathObjectHierarchyEvent {

    protected PathObjectHierarchyEvent() {}
}
