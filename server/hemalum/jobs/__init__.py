"""Jobs: many slides in a folder that survives being killed; see `docs/jobs.md`."""
