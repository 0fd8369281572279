"""Phrases by what a thing is for: "something to drink from", "i want to fry an egg".

Each use has the categories it means and those that might do: in their presence nothing is certain and nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from referent.sources.simulation.phrases.view import Figures, View
from referent.sources.simulation.phrases.voice import Found, Voice, Wording

NO_WORDING = Wording(())
HOLLOW = ("mug", "cup", "bowl", "jar", "teapot", "pan", "bottle")


@dataclass(frozen=True)
class Use:
    """What something is for; `whole` are utterances of their own, `many` ask for several."""

    fits: tuple[str, ...]
    unsure: tuple[str, ...]
    single: Wording
    whole: Wording = NO_WORDING
    many: Wording = NO_WORDING


USES: tuple[Use, ...] = (
    Use(
        ("mug", "cup"), ("bottle", "can", "bowl", "jar"),
        Wording(("something to drink from", "something i can drink from", "something to drink out of"),
                ("something i could drink from", "something that i can drink from")),
        Wording(("what can i drink from", "what could i drink from"), ("which one can i drink from",)),
        Wording(("things to drink from", "everything to drink from", "all things i can drink from"),
                ("everything i can drink from", "all the things to drink from")),
    ),
    Use(
        ("mug", "cup"), (),
        Wording(("something to drink coffee from", "something to drink tea from", "something for my coffee",
                 "something i can drink hot tea from"),
                ("something i could drink tea from", "something i can drink my coffee from")),
        Wording(("what can i drink coffee from", "i want to drink coffee", "what could i drink tea from",
                 "i would like to drink hot coffee"),
                ("i would like to drink coffee", "which one could i drink tea from")),
        Wording(("things to drink coffee from", "all things i can drink tea from", "everything to drink tea from"),
                ("everything i can drink coffee from", "all the things to drink tea from")),
    ),
    Use(
        ("mug", "cup"), ("bowl", "teapot", "jar", "bottle", "can", "pan"),
        Wording(("something i can pour tea into", "something to pour tea into"), ("something i could pour tea into",)),
    ),
    Use(
        ("banana",), ("can", "jar"),
        Wording(("something to eat", "something edible", "something i can eat", "a snack", "the snack"),
                ("something i could eat", "something that i can eat")),
        Wording(("i am hungry", "what can i eat", "i want to eat something"), ("what could i eat", "i am so hungry")),
    ),
    Use(
        ("banana",), (),
        Wording(("some fruit", "the fruit", "a fruit", "something to peel", "a piece of fruit", "a healthy snack"),
                ("the piece of fruit", "something i can peel", "the healthy fruit")),
        Wording(("i want to eat fruit", "i would like a fruit"), ("i would like to eat fruit",)),
    ),
    Use(
        ("ball",), (),
        Wording(("something to kick", "something that bounces", "something to play catch with", "a toy that bounces",
                 "something i can kick"),
                ("something i could kick", "the toy that bounces", "something i can play catch with")),
        Wording(("i want to play catch", "what can i kick"), ("i would like to play catch", "what could i kick")),
    ),
    Use(
        ("ball",), ("can", "bottle", "jar", "cup", "mug"),
        Wording(("something that rolls away", "something that can roll away"), ("something that could roll away",)),
    ),
    Use(
        ("ball", "block"), (),
        Wording(("a toy", "the toy", "something for a child to play with", "some toy"),
                ("a toy to play with", "something a child can play with")),
        Wording(("what can a child play with",), ("what could a child play with",)),
        Wording(("the toys", "all toys", "all the toys", "every toy", "things for a child to play with"),
                ("all of the toys", "everything a child can play with", "each toy")),
    ),
    Use(
        ("bowl",), ("plate", "pan"),
        Wording(("something to eat soup from", "something i can eat soup from"),
                ("something that i can eat soup from", "something i could eat my soup from")),
        Wording(("what can i eat soup from", "i want to eat soup"), ("what could i eat soup from",)),
    ),
    Use(
        ("bowl",), ("plate", "mug", "cup"),
        Wording(("something for my cereal", "something to eat cereal from", "something for a salad"),
                ("something i can eat cereal from", "something for my salad")),
        Wording(("i want to eat cereal", "what can i eat cereal from"), ("i would like to eat cereal",)),
    ),
    Use(
        ("bowl",), ("mug", "cup", "pan", "teapot", "jar", "can", "bottle", "plate"),
        Wording(("something that could hold soup", "something to hold soup", "something that can hold soup"),
                ("something which could hold soup",)),
        Wording(("what could hold soup", "which one could hold soup"),
                ("what can hold soup", "which one can hold soup")),
    ),
    Use(
        HOLLOW, ("can", "box", "plate"),
        Wording(("something that can hold water", "something to fill with water", "something i can fill with water"),
                ("something that could hold water", "something i could fill with water")),
        Wording(("what can hold water", "what could i fill with water"), ("what could hold water",)),
        Wording(("everything that can hold water", "all things that can hold water", "things to fill with water"),
                ("everything that could hold water", "all the things i can fill with water")),
    ),
    Use(
        ("plate",), ("pan", "bowl"),
        Wording(("something flat to serve food on", "something to serve food on", "the flat dish"),
                ("something flat i can serve food on", "a flat dish")),
    ),
    Use(
        ("plate",), (),
        Wording(("something to serve a sandwich on", "something to serve cake on", "something flat for my cake"),
                ("something i can serve cake on", "something flat for a sandwich")),
        Wording(("i want to serve cake", "what can i serve a sandwich on"), ("what could i serve cake on",)),
    ),
    Use(
        ("pan",), (),
        Wording(("something to fry an egg in", "something to fry eggs in", "something to make pancakes in",
                 "something i can fry an egg in"),
                ("something i could fry eggs in", "something i can make pancakes in")),
        Wording(("i want to fry an egg", "i would like to make pancakes", "what can i fry an egg in",
                 "i want to make pancakes"),
                ("i would like to fry an egg", "what could i fry eggs in")),
    ),
    Use(
        ("teapot",), ("bottle", "can"),
        Wording(("something to pour tea from", "something i can pour tea from"), ("something i could pour tea from",)),
        Wording(("what can i pour tea from", "i want to pour some tea"), ("what could i pour tea from",)),
    ),
    Use(
        ("teapot",), ("mug", "cup"),
        Wording(("something to brew tea in", "something i can brew tea in"), ("something i could brew tea in",)),
        Wording(("i want to brew tea", "what can i brew tea in"), ("i would like to brew tea",)),
    ),
    Use(
        ("jar",), ("can",),
        Wording(("something to keep jam in", "something for my jam", "the jam", "something with jam in it"),
                ("something i can keep jam in", "something for jam")),
        Wording(("what can i keep jam in", "i want some jam"), ("what could i keep my jam in",)),
    ),
    Use(
        ("box",), (),
        Wording(("something to pack a gift in", "a package", "the package", "something to send by mail"),
                ("something i can pack a gift in", "some package")),
        Wording(("i want to pack a gift", "what can i pack a gift in"), ("i would like to pack a gift",)),
    ),
    Use(
        ("block",), ("box", "can", "cup"),
        Wording(("something to build a tower with", "something i can build a tower with"),
                ("something that i can build a tower with",)),
        Wording(("i want to build a tower", "what can i build a tower with"), ("i would like to build a tower",)),
        Wording(("things to build a tower with",), ("all the things to build a tower with",)),
    ),
    Use(
        ("bottle",), ("can", "jar", "teapot", "mug", "cup"),
        Wording(("something to carry water in", "something to carry water on a hike", "something to take on a hike"),
                ("something i can carry water in", "something i can take on a hike")),
        Wording(("what can i carry water in", "i want to carry water"), ("what could i carry water in",)),
    ),
    Use(
        ("can",), ("bottle",),
        Wording(("a soda", "the soda", "something with soda in it"), ("some soda",)),
        Wording(("i want a soda", "i would like a soda"), ("i would like some soda",)),
    ),
    Use(
        ("hammer",), (),
        Wording(("something to hit a nail with", "something to drive a nail into the wall",
                 "something to hit nails with", "something i can hit a nail with"),
                ("something i can hit nails with", "something i could drive a nail into the wall with")),
        Wording(("i need to hit a nail", "what can i hit a nail with", "i want to drive a nail into the wall"),
                ("i want to hit a nail", "what could i hit nails with")),
    ),
    Use(
        ("screwdriver",), (),
        Wording(("something to tighten a screw", "something to tighten a screw with", "something to turn a screw with",
                 "something i can loosen a screw with"),
                ("something i can tighten a screw with", "something to loosen a screw")),
        Wording(("i need to tighten a screw", "a screw is loose", "what can i turn a screw with",
                 "i want to loosen a screw"),
                ("i want to tighten a screw", "what could i tighten a screw with")),
    ),
    Use(
        ("hammer", "screwdriver"), (),
        Wording(("a tool", "the tool", "something for repairs", "some tool"), ("a tool for repairs", "any tool")),
        Wording(("i need a tool", "what can i use for repairs"), ("i want a tool", "what could i use for repairs")),
        Wording(("the tools", "all tools", "all the tools", "every tool", "any tools"),
                ("all of the tools", "each tool", "all the tools for repairs")),
    ),
    Use(
        ("mug", "cup", "bowl", "plate"), ("pan", "teapot", "jar"),
        NO_WORDING,
        NO_WORDING,
        Wording(("the dishes", "all dishes", "all the dishes", "dishes"), ("all of the dishes", "my dishes")),
    ),
)  # fmt: skip
WORDS = {word for use in USES for wording in (use.single, use.whole, use.many) for word in wording.words}


def affordance(view: View, voice: Voice) -> Found | None:
    """The one object for a use."""
    use = voice.pick(USES)
    meant = _for_use(view, use)
    if meant is None or len(meant) != 1 or use.single is NO_WORDING:
        return None
    return _asked(use, meant, voice)


def any_for_use(view: View, voice: Voice) -> Found | None:
    """ "something to drink from" where several would do: all of them."""
    use = voice.pick([each for each in USES if each.single is not NO_WORDING])
    meant = _for_use(view, use)
    return _asked(use, meant, voice) if meant is not None and len(meant) > 1 else None


def uses_of_several(view: View, voice: Voice) -> Found | None:
    """ "all the tools"."""
    use = voice.pick([each for each in USES if each.many is not NO_WORDING])
    meant = _for_use(view, use)
    return Found(voice.say(use.many), meant, form="things") if meant is not None and len(meant) > 1 else None


def missing_use(view: View, voice: Voice) -> Found | None:
    """Something for a use that nothing in the picture serves."""
    use = voice.pick([each for each in USES if each.single is not NO_WORDING])
    meant = _for_use(view, use)
    return _asked(use, (), voice) if meant == () else None


def _for_use(view: View, use: Use) -> Figures | None:
    """All objects for a use; None when one is seen that might do."""
    if any(thing.category in use.unsure for thing in view.things):
        return None
    return view.meant(lambda thing: thing.category in use.fits)


def _asked(use: Use, meant: Figures, voice: Voice) -> Found:
    if use.whole is not NO_WORDING and voice.chance(0.35):
        return Found(voice.say(use.whole), meant, form="whole")
    return Found(voice.say(use.single), meant)
