"""Referent: which pixels, and which place in space, an instruction means; now and in every following frame."""

__version__ = "0.1.0"
