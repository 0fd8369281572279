"""How people put what they want from a robot: sentences around a phrase, split into known and held-out ones."""

from __future__ import annotations

import re

import numpy as np

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
    "please show me {}",
)  # fmt: skip

HELD_OUT_SENTENCES: tuple[str, ...] = (
    "could you bring me {}", "please hand me {}", "robot, grab {}", "i am looking for {}", "would you find {} for me",
    "where can i find {}", "please pick {} up from the table", "now give me {}", "can you pick up {} please",
    "spot {}", "hey, get me {}", "tell me where {} is",
)  # fmt: skip

FILLERS: tuple[str, ...] = (
    "please", "now", "quickly", "robot", "hey", "ok", "okay", "well", "carefully", "gently", "first", "then", "again",
    "right now", "for me", "on the table", "over there", "in front of you", "if you can", "thank you", "thanks", "um",
    "just", "maybe", "kindly", "immediately", "slowly", "next", "there", "here", "today", "in the picture",
    "in the image", "you see", "in view",
)  # fmt: skip

# Words worth a token of their own that no sentence above uses: those that say nothing about what is meant ...
STRAY_WORDS: tuple[str, ...] = (
    "a", "able", "about", "after", "also", "am", "an", "and", "any", "anything", "are", "as", "ask", "at", "away",
    "back", "be", "been", "before", "best", "big", "bit", "bring", "but", "by", "call", "camera", "can", "cannot",
    "catch", "change", "check", "choose", "clear", "close", "come", "container", "cool", "could", "counter", "desk",
    "did", "do", "does", "don", "done", "door", "down", "drop", "each", "either", "empty", "end", "even",
    "everything", "fast", "fetch", "few", "final", "fine", "finger", "fingers", "floor", "for", "forget", "from",
    "full", "gently", "getting", "go", "going", "good", "got", "gripper", "had", "half", "hand", "handle", "hands",
    "has", "have", "he", "hello", "help", "her", "here", "hidden", "him", "his", "hold", "hot", "how", "i", "if",
    "in", "inside", "instead", "into", "is", "it", "item", "items", "its", "keep", "kind", "kitchen", "know",
    "last", "later", "leave", "less", "let", "like", "line", "long", "look", "looking", "made", "make", "many",
    "may", "me", "mean", "might", "mine", "mind", "more", "most", "move", "much", "must", "my", "nearby", "need",
    "never", "new", "nice", "nobody", "object", "objects", "of", "off", "old", "on", "once", "one", "ones", "only",
    "onto", "open", "or", "others", "our", "out", "outside", "over", "own", "part", "pay", "perhaps", "person",
    "piece", "pile", "place", "pointing", "position", "possible", "prefer", "present", "pretty", "put", "quick",
    "quiet", "ready", "really", "room", "round", "safe", "said", "same", "say", "says", "second", "see", "seen",
    "set", "shall", "she", "shelf", "shiny", "should", "side", "sight", "since", "sir", "size", "so", "some",
    "someone", "something", "soon", "stack", "stand", "start", "stay", "still", "stop", "straight", "such", "sure",
    "table", "target", "tell", "than", "that", "the", "their", "them", "then", "these", "they", "thing", "things",
    "think", "third", "this", "those", "through", "time", "to", "together", "too", "toward", "towards", "try",
    "turn", "until", "up", "us", "use", "used", "user", "very", "visible", "wait", "wall", "want", "was", "way",
    "we", "were", "what", "when", "where", "which", "while", "who", "whole", "whose", "will", "wish", "with",
    "within", "work", "would", "yes", "yet", "you", "your",
)  # fmt: skip

# ... and those that do.
TELLING_WORDS: tuple[str, ...] = (
    "all", "behind", "below", "beside", "between", "both", "bottom", "center", "closest", "corner", "edge", "every",
    "fork", "front", "furthest", "large", "left", "little", "lot", "low", "lower", "middle", "near", "nearest",
    "no", "none", "not", "nothing", "other", "plain", "pot", "right", "small", "spoon", "three", "top", "two",
    "under", "upper", "without",
)  # fmt: skip

_WORD = re.compile(r"[a-z]+")


def sentence(phrase: str, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """`phrase` inside a random sentence, at times with filler words around it."""
    choices = HELD_OUT_SENTENCES if held_out else SENTENCES
    text = choices[rng.integers(len(choices))].format(phrase)
    if not held_out and rng.random() < 0.25:
        filler = FILLERS[rng.integers(len(FILLERS))]
        comma = "," if rng.random() < 0.3 else ""
        text = f"{text}{comma} {filler}" if rng.random() < 0.6 else f"{filler}{comma} {text}"
    return text


def words_of_sentences() -> set[str]:
    """Every word this module can say or reserves."""
    texts = " ".join((*SENTENCES, *HELD_OUT_SENTENCES, *FILLERS)).lower()
    return set(_WORD.findall(texts)) | set(STRAY_WORDS) | set(TELLING_WORDS)
