package qupath.lib.objects.hierarchy.events;

/** Signatures only: what the extension calls. */
public interface PathObjectHierarchyListener {
    void hierarchyChanged(PathObjectHierarchyEvent a);
}
