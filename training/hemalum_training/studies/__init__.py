"""Arms, seeds and paired intervals: what brings what."""
