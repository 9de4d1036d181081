"""The command line: wiring only, heavy imports inside commands."""
