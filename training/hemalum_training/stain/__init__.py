"""Normalization that a colour alone decides: normalizers, and what they are fitted to and scored by."""
