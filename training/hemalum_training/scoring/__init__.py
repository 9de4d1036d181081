"""S4: what a network predicts and how well, against images, packages and the patent's table."""
