"""One run, wherever it computes: its plan, its events, its way through the engine, its files and its record."""
