"""Owns the targets: their records, and where those were found that the tracker is still catching up on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from referent.config import GroundingConfig
from referent.grounding.boxes import mask_box_xyxy
from referent.grounding.records import Meaning, Placement, TargetRecord, observed
from referent.grounding.verdicts import fruitless, grounded
from referent.grounding.wording import rival_names, which_one
from referent.ports import PromptOutcome
from referent.types import Candidate, LiveTrack, TrackedMask

CATCHING_UP = "found, catching up"


@dataclass
class Numbering:
    """The newest numbers given; none is given twice, also by the next pipeline of the same robot."""

    target_id: int = 0
    instruction_id: int = 0

    def go_on_from(self, earlier: Numbering) -> None:
        """Give only numbers beyond those given earlier."""
        self.target_id, self.instruction_id = earlier.target_id, earlier.instruction_id


class Targets:
    """All targets, in the order they were added. Ids are never used for another target."""

    def __init__(self, config: GroundingConfig, *, max_objects: int, numbering: Numbering | None = None) -> None:
        self._config = config
        self._max_objects = max_objects
        self._numbering = numbering or Numbering()
        self._records: dict[str, TargetRecord] = {}
        self._placements: dict[str, Placement] = {}

    def __iter__(self) -> Iterator[TargetRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._records

    def __getitem__(self, object_id: str) -> TargetRecord:
        return self._records[object_id]

    @property
    def by_id(self) -> Mapping[str, TargetRecord]:
        """The records as they are now."""
        return MappingProxyType(self._records)

    @property
    def room(self) -> int:
        """How many more may be followed."""
        return max(self._max_objects - len(self._records), 0)

    @property
    def settled(self) -> list[TargetRecord]:
        """Those that may be asked about: the tracker is not at work on an answer for them."""
        return [record for object_id, record in self._records.items() if object_id not in self._placements]

    def reconfigure(self, config: GroundingConfig) -> None:
        """Go on with other thresholds."""
        self._config = config

    def add(self, meaning: Meaning) -> TargetRecord:
        """A new target of that meaning; the id in it is replaced by the next free one."""
        self._numbering.target_id += 1
        target = replace(meaning.target, id=str(self._numbering.target_id))
        return self.put_back(replace(meaning, target=target))

    def put_back(self, meaning: Meaning) -> TargetRecord:
        """A target that was there before, to be searched for anew under its id."""
        record = TargetRecord(meaning, label=meaning.target.expression)
        self._placements.pop(meaning.target.id, None)
        self._records = dict(
            sorted({**self._records, meaning.target.id: record}.items(), key=lambda entry: int(entry[0]))
        )
        return record

    def remove(self, object_id: str) -> bool:
        """Drop one; False when there is none of that id."""
        self._placements.pop(object_id, None)
        return self._records.pop(object_id, None) is not None

    def clear(self) -> tuple[str, ...]:
        """Drop all; returns their ids."""
        unwanted = tuple(self._records)
        self._records.clear()
        self._placements.clear()
        return unwanted

    def change(self, object_ids: Sequence[str], how: Callable[[TargetRecord], TargetRecord]) -> None:
        """Change some records; ids that are gone are ignored."""
        for object_id in object_ids:
            if object_id in self._records:
                self._records[object_id] = how(self._records[object_id])

    def observe(self, masks: Sequence[TrackedMask], now_ns: int) -> None:
        """Bring every record up to the present frame."""
        by_id = {mask.object_id: mask for mask in masks}
        for object_id, record in self._records.items():
            self._records[object_id] = observed(record, by_id.get(object_id), self._config, now_ns=now_ns)
        self._name_candidates(by_id)

    def place(self, object_id: str, placement: Placement) -> None:
        """A target was found; its record follows once the tracker has caught up."""
        self._placements[object_id] = placement
        self.change((object_id,), lambda record: replace(record, reason=CATCHING_UP, again=None, fruitless=0))

    def withdraw(self, object_id: str, why: str) -> None:
        """A prompt was not taken, or came to nothing: its target stands as before, and is looked for as before."""
        if self._placements.pop(object_id, None) is not None:
            self.change((object_id,), lambda record: replace(record, reason=why))

    def settle(self, outcome: PromptOutcome) -> None:
        """Learn what became of a prompt that was taken."""
        placed = self._placements.get(outcome.object_id)
        if placed is None or placed.stamp_ns != outcome.stamp_ns or outcome.outcome == "superseded":
            return  # a newer prompt for the same target is still to come
        if outcome.outcome == "rejected":
            self._refused(outcome)
            return
        del self._placements[outcome.object_id]
        self.change((outcome.object_id,), lambda record: grounded(record, placed, outcome, self._config))

    def live_tracks(self, masks: Sequence[TrackedMask]) -> tuple[LiveTrack, ...]:
        """The targets that are seen, with their boxes."""
        boxes = ((mask.object_id, mask_box_xyxy(mask.mask)) for mask in masks if mask.object_id in self._records)
        return tuple(LiveTrack(i, self._records[i].label, box) for i, box in boxes if box is not None)

    def _refused(self, outcome: PromptOutcome) -> None:
        why = "what was found could not be followed"
        self.withdraw(outcome.object_id, why)
        helpless = partial(
            fruitless, config=self._config, stamp_ns=outcome.stamp_ns, now_ns=outcome.settled_stamp_ns, words=why
        )
        self.change((outcome.object_id,), helpless)

    def _name_candidates(self, masks: Mapping[str, TrackedMask]) -> None:
        """Name the candidates of each meaning by where they are now; while one is hidden, the old names stay."""
        groups: dict[tuple[int, str, str], list[str]] = {}
        for object_id, record in self._records.items():
            if record.candidates:
                groups.setdefault(record.meaning.key, []).append(object_id)
        for object_ids in groups.values():
            if len(object_ids) == 1:
                self.change(object_ids, lambda record: replace(record, candidates=()))
                continue
            boxes = [mask_box_xyxy(masks[i].mask) for i in object_ids if i in masks]
            whole = [box for box in boxes if box is not None]
            if len(whole) == len(object_ids):
                self.make_candidates(object_ids, rival_names(whole))

    def make_candidates(self, object_ids: Sequence[str], names: Sequence[str]) -> None:
        """Say of these targets that it is not clear which of them is meant."""
        candidates = tuple(Candidate(i, name) for i, name in zip(object_ids, names, strict=True))
        words = which_one(self._records[object_ids[0]].target.expression, names)
        self.change(object_ids, lambda record: replace(record, candidates=candidates, reason=words))
