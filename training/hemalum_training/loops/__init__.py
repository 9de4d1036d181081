"""S2, S3: losses, steps and runs of a training, and what survives when one is killed."""
