"""Poses of objects whose shape is known: models from files, found in a depth picture and followed."""

from referent.geometry.models.fitting import ModelFit, find_model, model_box, nearest_equivalent, refine_model
from referent.geometry.models.labels import model_for
from referent.geometry.models.loading import load_model, load_models
from referent.geometry.models.model import ObjectModel

__all__ = [
    "ModelFit",
    "ObjectModel",
    "find_model",
    "load_model",
    "load_models",
    "model_box",
    "model_for",
    "nearest_equivalent",
    "refine_model",
]
