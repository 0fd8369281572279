"""What an instruction changes: acts of a dialogue carried out on the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unicodedata import category

from referent.errors import BadInstruction
from referent.grounding.conversation import Conversation
from referent.grounding.dialogue import Act, Verb, understand
from referent.grounding.records import Meaning, Placement, TargetRecord
from referent.grounding.regions import GivenRegion
from referent.grounding.targets import Targets
from referent.grounding.wording import chosen_name, words_of
from referent.types import Prompt, Provenance, RegroundReason, Target, TrackState

MAX_INSTRUCTION_CHARS = 1000
_UNSPEAKABLE = ("Cc", "Cf", "Co", "Cs", "Cn")  # Unicode's control, format, private, surrogate and unassigned
_JOINERS = "\u200c\u200d"  # are spelling in Persian and Hindi, and in emoji


def clean_instruction(instruction: str) -> str:
    """The instruction with its whitespace tidied.

    Raises BadInstruction when nothing or far too much is left, or what nobody says: control and format characters.
    """
    text = " ".join(instruction.split())
    if not text:
        raise BadInstruction(f"the instruction {instruction!r} is empty; say what to look for, e.g. 'the red mug'")
    if len(text) > MAX_INSTRUCTION_CHARS:
        raise BadInstruction(f"the instruction has {len(text)} characters, at most {MAX_INSTRUCTION_CHARS} are taken")
    for character in text:
        if category(character) in _UNSPEAKABLE and character not in _JOINERS:
            raise BadInstruction(f"the instruction holds the character U+{ord(character):04X}; plain text is taken")
    return text


def carry_out(act: Act, targets: Targets, conversation: Conversation, *, now_ns: int) -> tuple[str, ...]:
    """Change what is looked for; returns the ids whose tracks are to be dropped.

    `now_ns` is the newest frame. Raises BadInstruction, and changes nothing, when the act fits nothing followed.
    """
    if act.verb is Verb.UNDO:
        return _undo(targets, conversation)
    if act.verb is Verb.REMOVE:
        return _remove(act, targets, conversation)
    focus = _focus(targets)
    if act.verb in (Verb.REFINE, Verb.CORRECT) and focus and act.parts:
        return _narrow(act, focus, targets, conversation, now_ns=now_ns)
    return _look_for(act, targets, conversation)


def follow(instruction: str, targets: Targets, conversation: Conversation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A program's goal, which means the same whatever was said before: it replaces all, or with "also" adds.

    Returns the ids of its targets, and those whose tracks are to be dropped. Raises BadInstruction, and changes
    nothing, when it does not say what to look for.
    """
    text = clean_instruction(instruction)
    act = understand(text, [record.target.expression for record in targets])
    if act.verb is not Verb.ADD:
        act = replace(understand(text, ()), certain=True)
    if act.verb in (Verb.UNDO, Verb.REMOVE):
        raise BadInstruction(
            f"a goal says what to follow, {text!r} does not; cancel the goal, or say it on `instruction`"
        )
    unwanted = _look_for(act, targets, conversation)
    newest = conversation.instruction_id
    return tuple(r.target.id for r in targets if r.meaning.instruction_id == newest), unwanted


def correct(object_id: str, text: str, targets: Targets, conversation: Conversation, *, now_ns: int) -> tuple[str, ...]:
    """Words about one target say what else is meant; returns the ids whose tracks are to be dropped.

    Raises BadInstruction when it is not followed or the words do not say what is meant.
    """
    record = followed(object_id, targets)
    act = understand(clean_instruction(text), [record.target.expression])
    if len(act.parts) != 1 or act.verb in (Verb.UNDO, Verb.REMOVE, Verb.ADD):
        raise BadInstruction(f"{text!r} does not correct one object; say which one is meant, e.g. 'the blue one'")
    focus = [other for other in targets if other.meaning.key == record.meaning.key] if record.candidates else [record]
    return _narrow(replace(act, verb=Verb.CORRECT), focus, targets, conversation, now_ns=now_ns)


def point_out(
    object_id: str, region: GivenRegion, targets: Targets, *, stamp_ns: int, refine: bool
) -> tuple[Prompt, tuple[str, ...]]:
    """A person shows where a target is in a frame: the prompt, and the rivals that are gone now.

    Raises BadInstruction when it is not followed.
    """
    record = followed(object_id, targets)
    rivals = tuple(each.object_id for each in record.candidates if each.object_id != object_id)
    for rival in rivals:
        targets.remove(rival)
    targets.change((object_id,), lambda record: replace(record, candidates=(), corrected=False, suspicion=None))
    source = Provenance("user", "corrected", stamp_ns, record.meaning.instruction_id)
    targets.place(object_id, Placement(record.label, stamp_ns, source))
    return region.prompt(object_id, stamp_ns, refine=refine), rivals


def ask_again(object_id: str, targets: Targets) -> tuple[str, ...]:
    """Have one target, or all (""), asked about next; returns their ids. Raises BadInstruction when it is not there."""
    wanted = tuple(targets.by_id) if not object_id else (followed(object_id, targets).target.id,)
    targets.change(wanted, lambda record: replace(record, demanded=True))
    return wanted


def followed(object_id: str, targets: Targets) -> TargetRecord:
    """The record of a target. Raises BadInstruction when there is none of that id."""
    if object_id in targets:
        return targets[object_id]
    known = ", ".join(f"{record.target.id} ({record.target.expression})" for record in targets) or "nothing"
    raise BadInstruction(f"no object {object_id!r} is followed, but {known}")


def _look_for(act: Act, targets: Targets, conversation: Conversation) -> tuple[str, ...]:
    """REPLACE and ADD, and whatever refers to something when nothing is followed."""
    adds = act.verb is Verb.ADD and len(targets) > 0
    if adds and targets.room < len(act.parts):
        raise BadInstruction(f"{len(targets)} targets are followed already; forget one or raise tracker.max_objects")
    instruction_id = conversation.begin(_meanings(targets))
    if act.certain and not adds:
        conversation.start_anew()
    unwanted = () if adds else targets.clear()
    history = () if act.certain else conversation.history
    for role, expression in act.parts:
        target = Target("", expression, role=role, generation=instruction_id)
        targets.add(Meaning(target, instruction_id, history))
    return unwanted


def _remove(act: Act, targets: Targets, conversation: Conversation) -> tuple[str, ...]:
    said = [expression for _, expression in act.parts]
    unwanted = [record.target.id for record in targets if not said or any(_is_about(text, record) for text in said)]
    if not unwanted:
        followed = ", ".join(repr(record.target.expression) for record in targets) or "nothing"
        raise BadInstruction(f"nothing like {', '.join(map(repr, said)) or 'that'} is followed, but {followed}")
    conversation.begin(_meanings(targets))
    for object_id in unwanted:
        targets.remove(object_id)
    return tuple(unwanted)


def _narrow(
    act: Act, focus: Sequence[TargetRecord], targets: Targets, conversation: Conversation, *, now_ns: int
) -> tuple[str, ...]:
    """REFINE and CORRECT: which one is meant is said by a name, or the grounder must say it with the dialogue."""
    expression = act.parts[0][1]
    before = focus[0].meaning
    names = [candidate.words for candidate in focus[0].candidates]
    chosen = chosen_name(expression, names, known=before.root or before.target.expression)
    instruction_id = conversation.begin(_meanings(targets))
    history, ids = conversation.history, [record.target.id for record in focus]
    said = Provenance("user", "corrected" if act.verb is Verb.CORRECT else "refined", now_ns, instruction_id)
    if chosen is not None:
        kept = focus[0].candidates[chosen].object_id
        unwanted = tuple(object_id for object_id in ids if object_id != kept)
        for object_id in unwanted:
            targets.remove(object_id)
        meaning = _narrowed(targets[kept].meaning, expression, instruction_id)
        targets.change((kept,), lambda record: replace(record, meaning=meaning, candidates=(), changed=said))
        return unwanted
    for object_id in ids:
        meaning = replace(_narrowed(targets[object_id].meaning, expression, instruction_id), history=history)
        targets.change((object_id,), lambda record, meaning=meaning: _to_be_corrected(record, meaning, said))  # type: ignore[misc]
    return ()


def _undo(targets: Targets, conversation: Conversation) -> tuple[str, ...]:
    """Back to what was meant before; what was followed all along goes on, the rest is searched for anew."""
    meanings = conversation.take_back()
    if meanings is None:
        raise BadInstruction("there is nothing to go back to")
    present = {record.target.id: record.meaning for record in targets}
    kept = {meaning.target.id for meaning in meanings if present.get(meaning.target.id) == meaning}
    for object_id in set(present) - kept:
        targets.remove(object_id)
    for meaning in meanings:
        if meaning.target.id not in kept:
            targets.put_back(meaning)
    return tuple(object_id for object_id in present if object_id not in kept)


def _focus(targets: Targets) -> list[TargetRecord]:
    """What "the left one" is about: what it is not clear of which one is meant, else the newest."""
    records = list(targets)
    if not records:
        return []
    first = next((record for record in records if record.candidates), records[-1])
    return [record for record in records if record.meaning.key == first.meaning.key]


def _narrowed(meaning: Meaning, expression: str, instruction_id: int) -> Meaning:
    target = replace(meaning.target, expression=expression, generation=instruction_id)
    return Meaning(target, instruction_id, meaning.history, meaning.root or meaning.target.expression)


def _to_be_corrected(record: TargetRecord, meaning: Meaning, said: Provenance) -> TargetRecord:
    again = RegroundReason.CORRECTED.value
    searching = record.state is TrackState.SEARCHING
    reason = record.reason if searching else f"{again} by the user, waiting for the grounder"
    state = record.state if searching else TrackState.UNCERTAIN
    return replace(
        record, meaning=meaning, corrected=True, again=None, not_before_ns=0, changed=said, reason=reason, state=state
    )


def _is_about(text: str, record: TargetRecord) -> bool:
    """Whether all that is said of a target to forget is said of this one too."""
    known = {*words_of(record.target.expression), *words_of(record.meaning.root), *words_of(record.label)}
    said = set(words_of(text)) - {"the", "a", "an"}
    return text == record.target.id or (bool(said) and said <= known)


def _meanings(targets: Targets) -> tuple[Meaning, ...]:
    return tuple(record.meaning for record in targets)
