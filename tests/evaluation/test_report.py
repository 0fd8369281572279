"""The report is one file that fetches nothing and holds the whole run."""

from __future__ import annotations

import base64
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import SyntheticRun

from referent.errors import BadMessage
from referent.evaluation import report
from referent.evaluation.plots import ROWS, run_figure
from referent.evaluation.report import write_report

RUN = SyntheticRun(frames=30)


class Page(HTMLParser):
    """Collects tags with their attributes and the text of elements with an id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = RUN.record(tmp_path_factory.mktemp("report"))
    return write_report(directory, title="A <b>red</b> mug").read_text()


def constant(html: str, name: str) -> list | dict:
    found = re.search(rf"^const {name} = (.*);$", html, re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


def test_nothing_is_fetched(html: str) -> None:
    sources = [value for _, attrs in Page(html).tags for name in ("src", "href") if (value := attrs.get(name))]
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*https?://|url\(|@import|fetch\(""", html) == []
    assert "default-src 'none'" in html


def test_plots_hold_every_frame_beside_its_truth(html: str) -> None:
    traces = {trace["name"]: trace for trace in constant(html, "figure")["data"] if "name" in trace}
    position, truth = traces["1 · the red mug: position"], traces["1 · the red mug: true position"]
    assert len(position["x"]) == len(truth["x"]) == 30
    assert truth["y"][7] == pytest.approx(RUN.position_m(7)[2], abs=1e-4)  # the last of x, y, z
    assert position["y"][: RUN.answered] == [None] * RUN.answered
    assert len(traces["1 · the red mug: overlap (IoU) with the truth"]["y"]) == 30
    assert len(traces["time per frame"]["y"]) == 30


def test_state_bands_cover_the_run_without_gaps(html: str) -> None:
    bars = [trace for trace in constant(html, "figure")["data"] if trace["type"] == "bar"]
    pieces = sorted((start, length) for bar in bars for start, length in zip(bar["base"], bar["x"], strict=True))
    assert {bar["name"] for bar in bars} == {"searching", "tracking", "occluded"}
    for (start, length), (following, _) in itertools.pairwise(pieces):
        assert start + length == pytest.approx(following, abs=1e-5)


def test_pictures_can_be_stepped_through_and_the_video_is_inside(html: str) -> None:
    steps = constant(html, "steps")
    assert [step["frame"] for step in steps] == list(range(1, 31))
    assert base64.b64decode(steps[0]["source"].split(",")[1])[:2] == b"\xff\xd8"
    videos = [attrs for tag, attrs in Page(html).tags if tag == "video"]
    assert videos[0]["src"].startswith("data:video/mp4;base64,")


def test_a_large_video_is_linked_beside_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_EMBEDDED_VIDEO_BYTES", 10)
    page = Page(write_report(RUN.record(tmp_path)).read_text())
    assert not any(tag == "video" for tag, _ in page.tags)
    assert ("a", {"href": "overlay.mp4"}) in page.tags


def test_groundings_are_told_with_their_pictures(html: str) -> None:
    assert "no red mug is in view" in html
    assert html.count('alt="Picture at') == 2


def test_what_people_said_is_shown_and_not_run(html: str) -> None:
    assert "A &lt;b&gt;red&lt;/b&gt; mug" in html
    assert "<b>red</b>" not in html


def test_every_picture_control_has_a_name(html: str) -> None:
    for tag, attrs in Page(html).tags:
        if tag == "img":
            assert attrs.get("alt")
        if tag == "video" or attrs.get("type") == "range":
            assert attrs.get("aria-label")


def test_a_run_without_truth_and_without_objects_still_makes_a_report(tmp_path: Path) -> None:
    searching = RUN.record(tmp_path / "searching", truth=False, stop_after=2)
    html = write_report(searching).read_text()
    assert "against the truth" not in html
    assert "never" in html


def test_a_folder_without_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match=r"summary\.json"):
        write_report(tmp_path)


def test_the_figure_has_a_titled_plot_for_everything(tmp_path: Path) -> None:
    _, run = report._read_run(RUN.record(tmp_path))
    titles = [annotation.text for annotation in run_figure(run).layout.annotations]
    assert len(titles[: len(ROWS)]) == len(ROWS)
    assert all(titles[: len(ROWS)])
