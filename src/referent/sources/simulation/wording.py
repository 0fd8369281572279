"""How people put what they want from a robot: sentences around a phrase, split into known and held-out ones."""

from __future__ import annotations

from referent.sources.simulation.phrases.voice import Found, Voice, words_in

# "{}" takes a phrase with its article: "the red mug".
SENTENCES: tuple[str, ...] = (
    "{}", "{}", "{}", "pick up {}", "pick {} up", "find {}", "find {} please", "please find {}", "please pick up {}",
    "where is {}", "where's {}", "grab {}", "please grab {}", "grab {} for me", "bring me {}", "please bring me {}",
    "bring {} to me", "look for {}", "look at {}", "track {}", "follow {}", "can you see {}", "do you see {}",
    "show me {}", "show {}", "give me {}", "please give me {}", "hand me {}", "could you hand me {}", "take {}",
    "get {}", "get me {}", "fetch {}", "fetch me {}", "go and get {}", "locate {}", "point at {}", "point to {}",
    "can you find {}", "can you find {} for me", "could you find {}", "could you please pick up {}", "i need {}",
    "i want {}", "i would like {}", "robot, find {}", "robot, pick up {}", "hey robot, where is {}", "lift {}",
    "lift up {}", "reach for {}", "move {}", "push {}", "touch {}", "put {} away", "clean up {}", "watch {}",
    "keep an eye on {}", "now find {}", "now pick up {}", "ok, take {}", "would you pick up {}", "try to find {}",
    "search for {}", "pass me {}", "is there {}", "detect {}", "segment {}", "select {}", "pick up {} from the table",
    "find {} on the table", "get {} off the table", "take {} quickly", "find {} now", "carefully pick up {}",
    "please could you get {}", "help me find {}", "let us see {}", "focus on {}", "go to {}", "start with {}",
    "please track {}", "please follow {}", "please take {}", "please look for {}", "please fetch {}",
    "please show me {}", "would you please take {}", "would you mind getting {}", "i would like you to take {}",
    "i want you to find {}", "if you can, find {}", "could you kindly fetch {}", "can you please show me {}",
    "hello robot, please get {}", "do me a favor and get {}", "let me see {}", "i am searching for {}",
    "i think i need {}", "you should pick up {}", "hold {}", "drop {}", "check {}", "mark {}", "highlight {}",
    "what about {}", "get hold of {}", "see if you can find {}", "it is time to take {}", "be careful with {}",
    "we need {}", "please mark {}", "make sure to find {}", "tell me if you see {}", "my goal is {}",
)  # fmt: skip

HELD_OUT_SENTENCES: tuple[str, ...] = (
    "could you bring me {}", "please hand me {}", "robot, grab {}", "i am looking for {}", "would you find {} for me",
    "where can i find {}", "please pick {} up from the table", "now give me {}", "can you pick up {} please",
    "spot {}", "hey, get me {}", "tell me where {} is", "would you kindly hand me {}", "i would like to see {}",
    "please go and fetch {}", "robot, would you show me {}", "be so kind and take {}", "do you happen to see {}",
    "could you please point at {}", "ok robot, look for {}", "we are looking for {}", "find me {}",
    "i think we need {}", "would you mind picking up {}", "if you see {}, take it",
)  # fmt: skip

# What only several things suit; sentences that ask whether one thing is there do not suit them.
PLURAL_SENTENCES: tuple[str, ...] = ("where are {}", "are there {}", "count {}", "collect {}", "sort {}", "gather {}")
HELD_OUT_PLURAL_SENTENCES: tuple[str, ...] = ("tell me where {} are", "i would like to have {}", "please collect {}")

# For utterances of their own: "i want to fry an egg", "what could hold soup".
AROUND_UTTERANCES: tuple[str, ...] = (
    "{}", "{}", "{}", "{}", "robot, {}", "hey robot, {}", "hey, {}", "ok, {}", "well, {}", "{}, please", "{}, robot",
    "now {}", "please help me, {}", "hello, {}", "so {}", "you know, {}", "tell me, {}", "excuse me, {}",
)  # fmt: skip
HELD_OUT_AROUND_UTTERANCES: tuple[str, ...] = (
    "robot, help me, {}", "ok robot, {}", "please tell me, {}", "hello robot, {}", "listen, {}",
    "robot, could you help me, {}",
)  # fmt: skip

FILLERS: tuple[str, ...] = (
    "please", "now", "quickly", "robot", "hey", "ok", "okay", "well", "carefully", "gently", "then", "again",
    "right now", "for me", "on the table", "over there", "in front of you", "if you can", "thank you", "thanks", "um",
    "just", "maybe", "kindly", "immediately", "slowly", "there", "here", "today", "in the picture",
    "in the image", "you see", "in view", "you know", "i think", "so", "hello", "excuse me", "dear robot",
    "as fast as you can", "without hurry", "when you can",
)  # fmt: skip
HELD_OUT_FILLERS: tuple[str, ...] = (
    "if possible", "thank you robot", "when you are ready", "my friend", "as soon as you can", "if you see it",
    "thanks a lot", "um well", "in the picture here", "you see there",
)  # fmt: skip

# Words worth a token of their own that say nothing about what is meant: none of them occurs in any phrase.
STRAY_WORDS: tuple[str, ...] = (
    "able", "ask", "awesome", "basically", "best", "bit", "buddy", "bye", "call", "cannot", "choose", "cool",
    "counter", "dear", "desk", "don", "door", "even", "fast", "fetch", "final", "fine", "finger", "fingers", "floor",
    "forget", "fun", "getting", "got", "great", "gripper", "guess", "he", "hello", "help", "her", "hey", "him", "his",
    "hmm", "honestly", "hopefully", "how", "important", "kind", "kitchen", "know", "later", "let", "long", "looking",
    "lovely", "luckily", "makes", "man", "may", "might", "mind", "mine", "morning", "must", "nice", "nobody", "oh",
    "old", "our", "own", "pal", "pay", "perfect", "perhaps", "pointing", "possible", "prefer", "present", "pretty",
    "probably", "quick", "quiet", "quite", "ready", "really", "room", "safe", "say", "says", "see", "seriously",
    "shall", "she", "shelf", "should", "sir", "soon", "straight", "such", "super", "sure", "target", "tell", "think",
    "those", "today", "tomorrow", "tonight", "try", "us", "user", "very", "wait", "we", "week", "who", "whole", "will",
    "wish", "wonderful", "work", "wow", "yeah", "yes", "yet",
)  # fmt: skip

# ... and those that do, or may one day.
TELLING_WORDS: tuple[str, ...] = (
    "about", "above", "across", "add", "after", "ago", "air", "all", "along", "already", "also", "and", "another",
    "any", "anyone", "anything", "apart", "appear", "appeared", "appears", "arm", "around", "arrived", "aside",
    "attached", "away", "back", "backwards", "been", "before", "behind", "beige", "being", "belong", "belongs",
    "below", "beneath", "beside", "besides", "between", "both", "bottom", "brick", "bring", "brought", "brown",
    "bumped", "by", "came", "cap", "cardboard", "carried", "carry", "center", "central", "change", "changed",
    "changing", "check", "clear", "close", "closed", "closer", "closest", "colored", "colors", "colour", "coloured",
    "come", "comes", "coming", "container", "containers", "containing", "contains", "corner", "correct", "couple",
    "covered", "cube", "cyan", "cylinder", "dark", "deliver", "did", "different", "disappeared", "dish", "distant",
    "do", "does", "doing", "done", "dot", "dots", "dotted", "down", "downwards", "dozen", "drag", "dragged", "drink",
    "dropped", "each", "earlier", "edge", "eight", "eighth", "either", "eleven", "else", "elsewhere", "empty", "end",
    "every", "everyone", "everything", "except", "exchange", "exchanged", "far", "farther", "fell", "few", "fewer",
    "fewest", "fifth", "fill", "first", "fit", "fits", "five", "flask", "flat", "food", "for", "fork", "forwards",
    "four", "fresh", "freshly", "front", "full", "further", "furthest", "glass", "glossy", "go", "going", "gold",
    "gone", "grabbed", "gray", "grey", "grip", "grow", "had", "half", "halfway", "hand", "handed", "handles", "hands",
    "hang", "has", "having", "head", "held", "hidden", "hide", "high", "higher", "holding", "holds", "insert",
    "inside", "instead", "into", "it", "items", "its", "itself", "just", "kept", "kettle", "kitchenware", "knob",
    "knocked", "landed", "large", "larger", "last", "lately", "latest", "lay", "laying", "lean", "least", "leave",
    "left", "leftmost", "leftwards", "less", "lids", "lies", "lifted", "lifting", "light", "lighter", "line", "little",
    "location", "look", "lot", "low", "lower", "lowered", "lowermost", "lowest", "lying", "made", "magenta", "many",
    "metal", "middle", "missing", "moment", "more", "most", "motion", "motionless", "moved", "moves", "moving", "near",
    "nearby", "nearest", "neither", "never", "new", "newly", "next", "nine", "ninth", "no", "none", "nor", "not",
    "nothing", "now", "object", "on", "once", "one", "ones", "only", "onto", "open", "opposite", "or", "other",
    "others", "out", "outer", "outside", "over", "package", "pair", "part", "parts", "pattern", "patterned",
    "patterns", "person", "picked", "piece", "pile", "pink", "place", "placed", "places", "plain", "plastic",
    "position", "pot", "pots", "pour", "previous", "previously", "pushed", "pushing", "put", "raise", "raised",
    "raising", "rather", "reappeared", "recently", "remain", "remained", "remaining", "removed", "rest", "return",
    "returned", "right", "rightmost", "rightwards", "rim", "rise", "risen", "robot", "roll", "rolled", "rolling",
    "rolls", "rose", "rotate", "round", "row", "same", "sank", "saucer", "second", "seconds", "seen", "set", "seven",
    "seventh", "several", "shifted", "shiny", "short", "shorter", "shortest", "shoved", "side", "sides", "sight",
    "silver", "since", "single", "sitting", "six", "sixth", "size", "sized", "skillet", "slid", "slide", "sliding",
    "slipped", "small", "smaller", "smooth", "solid", "some", "someone", "something", "somewhere", "sooner", "sphere",
    "spin", "spoon", "spot", "spotted", "spouts", "spun", "square", "stack", "stacked", "stand", "standing", "start",
    "stationary", "stay", "stayed", "steel", "still", "stood", "stop", "stopped", "store", "stripe", "suitable",
    "suits", "swap", "swapped", "table", "taken", "tall", "taller", "tan", "ten", "tenth", "than", "that", "them",
    "then", "these", "they", "thin", "this", "three", "time", "tin", "tiny", "tip", "together", "too", "took", "tool",
    "tools", "top", "topmost", "touched", "toward", "towards", "toy", "transfer", "travelled", "turned", "turning",
    "twelve", "two", "uncovered", "under", "underneath", "until", "up", "upper", "uppermost", "upright", "upside",
    "upwards", "usable", "used", "useful", "utensil", "utensils", "vanished", "vessel", "vessels", "view", "violet",
    "visible", "was", "way", "went", "were", "whatever", "when", "which", "whichever", "while", "whoever", "whose",
    "wide", "wider", "with", "within", "without", "wood", "wrench", "wrong", "zero",
)  # fmt: skip


def sentence(found: Found, voice: Voice, *, held_out: bool = False) -> str:
    """The phrase inside a random sentence that suits it, at times with filler words around it."""
    template = voice.pick(_SUITING[held_out][found.form])
    if voice.chance(0.25):
        filler = voice.pick(HELD_OUT_FILLERS if held_out else FILLERS)
        comma = "," if voice.chance(0.3) else ""
        filled = f"{template}{comma} {filler}" if voice.chance(0.6) else f"{filler}{comma} {template}"
        template = template if filled in _KEPT_FOR_TESTS else filled
    return template.format(found.phrase)


def words_of_sentences() -> set[str]:
    """Every word this module can say or reserves."""
    spoken = {text for forms in _SUITING.values() for texts in forms.values() for text in texts}
    return words_in((*spoken, *FILLERS, *HELD_OUT_FILLERS, *STRAY_WORDS, *TELLING_WORDS))


def _for_several(sentences: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in sentences if not {"is", "s"} & words_in([text])) + more


_KEPT_FOR_TESTS = frozenset((*HELD_OUT_SENTENCES, *HELD_OUT_PLURAL_SENTENCES, *HELD_OUT_AROUND_UTTERANCES))
_SUITING = {
    False: {
        "thing": SENTENCES,
        "things": _for_several(SENTENCES, PLURAL_SENTENCES),
        "whole": AROUND_UTTERANCES,
    },
    True: {
        "thing": HELD_OUT_SENTENCES,
        "things": _for_several(HELD_OUT_SENTENCES, HELD_OUT_PLURAL_SENTENCES),
        "whole": HELD_OUT_AROUND_UTTERANCES,
    },
}
