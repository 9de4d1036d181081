"""One TOML file an experiment: its tables as dataclasses, checked before any work."""
