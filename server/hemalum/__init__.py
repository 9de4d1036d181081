"""Hemalum: nucleus segmentation and stain normalization for H&E slides.  For research use only."""

__version__ = "0.1.0"
