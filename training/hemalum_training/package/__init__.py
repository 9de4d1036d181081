"""Trained weights → a model package."""
