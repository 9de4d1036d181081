"""S1: labelled images, sources of tissue, tiles and their domains, and what lies in a run's folder of them."""
