"""The networks: encoders, attention gate, transformer, decoders, generator, discriminator."""

from .generator import Generator, GeneratorConfig

__all__ = ["Generator", "GeneratorConfig"]
