"""The networks: encoders, attention gate, transformer, decoders, generator, discriminator."""

from .discriminator import PatchDiscriminator
from .generator import Generator, GeneratorConfig

__all__ = ["Generator", "GeneratorConfig", "PatchDiscriminator"]
