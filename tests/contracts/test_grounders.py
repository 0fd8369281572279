"""Every grounder backend answers its recorded replies in the same way: pixels of the frame, nothing, or a fault.

A new backend brings a folder of recorded replies beside this file and a line in PLAYERS that plays a reply through it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest

from referent.config import GrounderConfig
from referent.errors import ConfigError, UnreadableReply
from referent.grounding import backends
from referent.grounding.backends.openai_server import OpenAIGrounder
from referent.ports import Grounder
from referent.types import GroundingRequest, Intrinsics, RegroundReason, RgbdFrame, Target

RECORDED = Path(__file__).parent / "replies"
CASES = ("found_landscape", "found_portrait", "several", "none", "unreadable")


def served(reply: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Grounder:
    body = {"choices": [{"message": {"content": reply}}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
    return OpenAIGrounder(GrounderConfig(url="http://server/v1"), transport)


def spoken(reply: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Grounder:
    """A real, untrained checkpoint with the recorded words in its mouth."""
    from referent.grounding.backends import qwen3_vl

    monkeypatch.setattr(qwen3_vl, "speak", lambda *_, **__: [(character, 0.5) for character in reply])
    return qwen3_vl.Qwen3VLGrounder(GrounderConfig(model=str(folder), device="cpu", threads=1))


PLAYERS: Mapping[str, Callable[[str, pytest.MonkeyPatch, Path], Grounder]] = {
    "qwen3_vl": spoken,
    "openai_server": served,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from referent.training.grounder_model import build_model, build_processor, build_tokenizer, save_bundle

    folder = tmp_path_factory.mktemp("untrained")
    tokenizer = build_tokenizer(["red", "mug"])
    model = build_model(tokenizer)
    model.config.picture_sizes = None  # recorded replies are about the frame itself
    save_bundle(model, build_processor(tokenizer), folder)
    return folder


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", sorted(path.name for path in RECORDED.iterdir()))
def test_recorded_replies_mean_the_same_for_every_backend(
    backend: str, case: str, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    recorded = json.loads((RECORDED / backend / f"{case}.json").read_text())
    width, height = recorded["size"]
    rgb = np.zeros((height, width, 3), np.uint8)
    frame = RgbdFrame(5, "camera", rgb, None, Intrinsics(width, height, 500.0, 500.0, width / 2, height / 2))
    request = GroundingRequest((Target("1", recorded["expression"]),), frame, RegroundReason.NEW)
    grounder = PLAYERS[backend](recorded["reply"], monkeypatch, checkpoint)
    if recorded["boxes"] is None:
        with pytest.raises(UnreadableReply):
            grounder.ground(request)
    else:
        grounding = grounder.ground(request)
        assert grounding.request is request
        assert grounding.raw == recorded["reply"]
        assert (grounding.nothing_reason is not None) == (recorded["boxes"] == [])
        np.testing.assert_allclose([item.box_xyxy for item in grounding.items], recorded["boxes"])
        assert all(item.label for item in grounding.items)
        assert all(item.score is None or 0 <= item.score <= 1 for item in grounding.items)
        assert grounding.latency_s >= 0
    grounder.close()


def test_every_backend_of_ours_has_recorded_replies() -> None:
    # "scripted" only gives what others said (tests/grounding/test_recordings.py)
    assert set(backends.BACKENDS) - {"scripted"} == {path.name for path in RECORDED.iterdir()} == set(PLAYERS)


def test_an_unknown_backend_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'qwen3_vl'.*openai_server, qwen3_vl, scripted"):
        backends.create(GrounderConfig(backend="qwen3vl"))


def test_a_third_partys_backend_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("theirs", "tests_that_do_not_exist:Grounder", backends.ENTRY_POINT_GROUP)
    monkeypatch.setattr(backends, "entry_points", lambda group: [point])
    assert backends.known_backends()["theirs"] == "tests_that_do_not_exist:Grounder"
    with pytest.raises(ConfigError, match="cannot be loaded"):
        backends.create(GrounderConfig(backend="theirs"))
