"""QuPath projects; see `docs/projects.md`."""
