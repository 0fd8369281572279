"""A model's name becomes checked files, or one line that says what to do."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from referent import weights
from referent.errors import WeightsMissing

CONTENT = b"tensors" * 1000


def a_models_dir(folder: Path, *, url: str | None = None, content: bytes | None = CONTENT) -> Path:
    """One model `m` of one file, with its true size and sha256 in models.yaml; `content` is what lies there."""
    file = {"name": "m.pt", "size_bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), "url": url}
    entry = {"kind": "sam2", "folder": "m", "config": "model.yaml", "files": [file]}
    (folder / "m").mkdir()
    (folder / "m" / "model.yaml").write_text("model: {}")
    (folder / "models.yaml").write_text("# what this is\n" + yaml.safe_dump({"m": entry}))
    if content is not None:
        (folder / "m" / "m.pt").write_bytes(content)
    return folder


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(WeightsMissing) as caught:
        weights.resolve(name, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_projects_own_registry_is_complete() -> None:
    known = weights.registry()
    assert {"referent-sam2-small", "referent-qwen3vl-tiny", "sam2.1-hiera-tiny", "sam2.1-hiera-large"} <= set(known)
    assert {entry.kind for entry in known.values()} == {"sam2", "qwen3_vl"}
    for entry in known.values():
        assert entry.license == "Apache-2.0"
        assert entry.source
    assert all(known[f"sam2.1-hiera-{size}"].config_path.is_file() for size in ("tiny", "small", "base-plus", "large"))


def test_bundled_files_are_what_the_registry_says() -> None:
    bundled = [entry for entry in weights.registry().values() if entry.files and not entry.files[0].url]
    for entry in bundled:
        weights.check(entry)


def test_a_whole_model_is_found(tmp_path: Path) -> None:
    entry = weights.resolve("m", a_models_dir(tmp_path))
    assert entry.weights_path.read_bytes() == CONTENT
    assert weights.status(entry) == "ready"


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    folder = a_models_dir(tmp_path, url="https://example.org/m.pt", content=None)
    message = refusal("m", folder)
    assert "referent models fetch m" in message
    assert "https://example.org/m.pt" in message
    assert weights.status(weights.registry(folder)["m"]) == "not downloaded"


def test_a_truncated_file_says_both_sizes(tmp_path: Path) -> None:
    assert "has 10 bytes instead of 7000" in refusal("m", a_models_dir(tmp_path, content=CONTENT[:10]))


def test_a_changed_file_is_called_damaged(tmp_path: Path) -> None:
    assert "damaged" in refusal("m", a_models_dir(tmp_path, content=CONTENT[:-1] + b"X"))


def test_a_misspelt_name_gets_a_suggestion_and_the_list() -> None:
    with pytest.raises(WeightsMissing, match=r"did you mean 'referent-sam2-small'\? known: "):
        weights.resolve("referent-sam2-smal")


@pytest.mark.parametrize("text", ["a: [", "- 1", "m: {kind: sam2}", "m: 3"])
def test_an_unreadable_registry_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(text)
    refusal("m", tmp_path)


def test_the_models_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFERENT_MODELS_DIR", str(a_models_dir(tmp_path)))
    assert set(weights.registry()) == {"m"}
    monkeypatch.setenv("REFERENT_MODELS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsMissing, match="REFERENT_MODELS_DIR"):
        weights.registry()


def test_a_weights_file_with_a_yaml_beside_it_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"x")
    with pytest.raises(WeightsMissing, match=r"mine\.yaml or model\.yaml"):
        weights.resolve(str(tmp_path / "mine.pt"))
    (tmp_path / "mine.yaml").write_text("model: {}")
    assert weights.resolve(str(tmp_path / "mine.pt")).config_path == tmp_path / "mine.yaml"


def test_an_official_checkpoint_anywhere_gets_its_configuration_from_the_package(tmp_path: Path) -> None:
    path = tmp_path / "sam2.1_hiera_small.pt"
    path.write_bytes(b"x")
    assert weights.resolve(str(path)).config_path.name == "sam2.1_hiera_s.yaml"


def test_a_folder_is_a_model_of_the_kind_its_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsMissing, match=r"neither model\.yaml nor config\.json"):
        weights.resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert weights.resolve(str(tmp_path)).kind == "qwen3_vl"


def test_update_writes_the_hashes_of_a_retrained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_models_dir(tmp_path, content=b"new weights")
    monkeypatch.setenv("REFERENT_MODELS_DIR", str(folder))
    (folder / "m" / "README.md").write_text("a card")
    refusal("m", folder)
    weights.main(["--update", "m"])
    assert "m.pt  11 bytes" in capsys.readouterr().out
    assert [file.path.name for file in weights.resolve("m", folder).files] == ["m.pt", "model.yaml"]
    assert (folder / "models.yaml").read_text().startswith("# what this is\n")
    with pytest.raises(WeightsMissing, match="no bundled model"):
        weights.update("n", folder)


def test_weights_that_would_run_code_are_refused_without_a_word_on_how_to_run_it(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"model": Path("x")}, path)  # any object that is no tensor
    with pytest.raises(WeightsMissing, match="Weights only load failed") as caught:
        weights.read_state_dict(path)
    assert "arbitrary code" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"<html>" * 99])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_weights_are_one_clear_line(suffix: str, damage: object, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"m{suffix}"
    tensors = {"a": torch.arange(5000.0)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save({"model": tensors}, path)
    assert torch.equal(weights.read_state_dict(path)["a"], tensors["a"])
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(WeightsMissing, match="cannot be read as weights") as caught:
        weights.read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"optimizer": 3}, tmp_path / "m.pt")
    with pytest.raises(WeightsMissing, match="another kind of file"):
        weights.read_state_dict(tmp_path / "m.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": partial(print, "run")}, tmp_path / "m.pt")
    with pytest.raises(WeightsMissing, match="cannot be read"):
        weights.read_state_dict(tmp_path / "m.pt")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A web server on this machine and the folder it serves."""
    folder = tmp_path_factory.mktemp("served")
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/m.pt", folder
        running.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_fetch_downloads_checks_and_tells_how_far_it_is(server: tuple[str, Path], tmp_path: Path) -> None:
    url, served = server
    (served / "m.pt").write_bytes(CONTENT)
    seen: list[tuple[str, int, int | None]] = []
    folder = a_models_dir(tmp_path, url=url, content=None)
    weights.fetch("m", folder, on_progress=lambda *progress: seen.append(progress))
    assert weights.status(weights.resolve("m", folder)) == "ready"
    assert seen[-1] == ("m.pt", 7000, 7000)


def test_a_download_of_the_wrong_file_leaves_nothing_behind(server: tuple[str, Path], tmp_path: Path) -> None:
    url, served = server
    folder = a_models_dir(tmp_path, url=url, content=None)
    with pytest.raises(WeightsMissing, match=r"404.*put it at"):
        weights.fetch("m", folder)
    (served / "m.pt").write_bytes(b"an error page")
    with pytest.raises(WeightsMissing, match="13 bytes instead of 7000"):
        weights.fetch("m", folder)
    assert [file.name for file in (folder / "m").iterdir()] == ["model.yaml"]


def test_what_has_no_address_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no download address"):
        weights.fetch("m", a_models_dir(tmp_path, content=None))
