"""A project's corrections → a better model, and whether it is one."""
