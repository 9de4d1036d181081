"""One page about a training, to be looked at."""
