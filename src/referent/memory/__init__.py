"""Room 5: what was seen where. Sightings in a fixed frame become remembered objects that a phrase can ask for."""

from referent.memory.crops import box_in_crop
from referent.memory.model_matching import match_by_model
from referent.memory.object_memory import ObjectMemory, open_memory
from referent.memory.records import Remembered

__all__ = ["ObjectMemory", "Remembered", "box_in_crop", "match_by_model", "open_memory"]
