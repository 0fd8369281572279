"""One measured number beside the bar it must reach, and the table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from referent.evaluation.heldout.estimates import Estimate
from referent.evaluation.lines import Line

FORMATS = {"": "{:.3f}", "points": "{:+.1f} points", "s": "{:.2f} s", "ms": "{:.0f} ms"}
DECIMALS = {"": 4, "points": 2, "s": 4, "ms": 2}


@dataclass(frozen=True)
class Row:
    """A line of the table. Without a bar it is there to be known."""

    group: str  # tracker | grounder | pipeline
    name: str
    measured: Estimate | None  # None: nothing in the pictures was there to be measured
    bar: float | None = None
    bar_with_gpu: float | None = None  # for models that were trained with a GPU
    at_most: bool = False  # the bar must not be exceeded
    within: bool = False  # the bar is a distance from zero, to both sides
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; None without a bar or a measurement."""
        if self.bar is None or self.measured is None:
            return None
        if self.within:
            return abs(self.measured.value) <= self.bar
        return self.measured.value <= self.bar if self.at_most else self.measured.value >= self.bar

    def line(self) -> Line:
        """The row as JSON values."""
        digits = DECIMALS[self.unit]
        known = self.measured
        return {
            "group": self.group,
            "measure": self.name,
            "value": None if known is None or not isfinite(known.value) else round(known.value, digits),
            "error": None if known is None or known.error is None else round(known.error, digits),
            "count": 0 if known is None else known.count,
            "unit": self.unit,
            "bar": self.bar,
            "bar_with_gpu": self.bar_with_gpu,
            "bound": "within" if self.within else "at most" if self.at_most else "at least",
            "reached": self.reached,
        }


def table_of_bars(lines: Sequence[Line]) -> str:
    """Rows, as `Row.line` gives them, as an aligned table for a terminal."""
    head = ("", "measure", "n", "measured", "standard error", "must reach", "with a GPU", "reached")
    cells = [head, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def markdown_of_bars(lines: Sequence[Line]) -> str:
    """The same for a model's card."""
    head = ["| measure | n | measured | must reach | reached |", "|---|---|---|---|---|"]
    rows = []
    for line in lines:
        group, name, count, measured, error, bar, with_gpu, reached = _cells(line)
        sure = f"{measured} ± {error}" if error else measured
        both = f"{bar} ({with_gpu})" if with_gpu else bar
        rows.append(f"| {group}: {name} | {count} | {sure} | {both} | {reached} |")
    return "\n".join([*head, *rows])


def _cells(line: Line) -> tuple[str, ...]:
    form = FORMATS[line["unit"]]
    bound = {"within": "± ", "at most": "≤ ", "at least": ""}[line["bound"]]
    return (
        line["group"],
        line["measure"],
        str(line["count"]),
        "–" if line["value"] is None else form.format(line["value"]),
        "" if line["error"] is None else form.format(line["error"]).split()[0].lstrip("+"),
        "" if line["bar"] is None else bound + form.format(line["bar"]),
        "" if line["bar_with_gpu"] is None else bound + form.format(line["bar_with_gpu"]),
        {None: "", True: "yes", False: "no"}[line["reached"]],
    )
