"""The teacher's nuclei on unlabelled tiles, and the rules by which they are trusted."""
