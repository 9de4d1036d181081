"""Training of nucleus models: tiles, networks, the teacher-student method, export."""
