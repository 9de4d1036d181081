"""The networks: encoders, attention gate, transformer, decoders, generator, discriminator."""

from hemalum_training.networks.discriminator import PatchDiscriminator
from hemalum_training.networks.generator import Generator

__all__ = ["Generator", "PatchDiscriminator"]
