"""Model files: a name in models/models.yaml becomes files on this machine that were checked, or one clear line.

`python -m referent.weights --update NAME` rewrites the size and sha256 of a bundled model's files after training.
Nothing is downloaded unless `fetch` is called.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from referent.errors import ConfigError, WeightsMissing
from referent.settings import yaml_tree

if TYPE_CHECKING:
    from torch import Tensor, nn

REGISTRY_FILE = "models.yaml"
WEIGHT_SUFFIXES = (".safetensors", ".pt")
PACKAGE_CONFIG = "sam2:"  # a config inside the installed sam2 package


@dataclass(frozen=True)
class ModelFile:
    """One file of a model and what it must be; None = not known."""

    path: Path
    size_bytes: int | None = None
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class ModelEntry:
    """One model: where its files lie on this machine, and what a person needs to know about it."""

    name: str
    kind: str  # sam2 | qwen3_vl
    folder: Path
    config: str  # a file in `folder`, or `sam2:configs/...` inside the sam2 package
    files: tuple[ModelFile, ...]
    license: str = "unknown"
    source: str = ""

    @property
    def config_path(self) -> Path:
        """The model's configuration. Raises WeightsMissing when it belongs to a package that is not installed."""
        if self.config.startswith(PACKAGE_CONFIG):
            return _sam2_package() / self.config.removeprefix(PACKAGE_CONFIG)
        return self.folder / self.config

    @property
    def weights_path(self) -> Path:
        """The file with the weights. Raises WeightsMissing when the entry names none."""
        for file in self.files:
            if file.path.suffix in WEIGHT_SUFFIXES:
                return file.path
        raise WeightsMissing(f"{self.name}: no weights ({' or '.join(WEIGHT_SUFFIXES)}) are listed for {self.folder}")


def find_models_dir() -> Path:
    """REFERENT_MODELS_DIR, else the repository's models/, else share/referent/models of the environment."""
    chosen = os.environ.get("REFERENT_MODELS_DIR")
    if chosen:
        return Path(chosen)
    in_repository = Path(__file__).resolve().parents[2] / "models"
    installed = Path(sys.prefix) / "share" / "referent" / "models"
    return in_repository if (in_repository / REGISTRY_FILE).is_file() else installed


def registry(models_dir: Path | None = None) -> dict[str, ModelEntry]:
    """Every model of models.yaml by name; its files may be absent. Raises WeightsMissing without a readable list."""
    folder = models_dir or find_models_dir()
    return {name: _entry(folder, name, raw) for name, raw in _read_registry(folder / REGISTRY_FILE).items()}


def resolve(name: str, models_dir: Path | None = None, *, contents: bool = True) -> ModelEntry:
    """The model of that name (or weights file, or model folder) with its files checked; `contents`: to the last bit.

    Raises WeightsMissing, saying what is wrong and what to do, when a file is absent, has the wrong size or sha256.
    """
    known = registry(models_dir)
    entry = known.get(name) or _entry_from_path(name, known)
    check(entry, contents=contents)
    return entry


def check(entry: ModelEntry, *, contents: bool = True) -> None:
    """Raise WeightsMissing unless every file of `entry` is there and is what models.yaml says, or at least as long."""
    if not entry.config_path.is_file():
        raise WeightsMissing(f"{entry.name}: the configuration {entry.config_path} is missing; {_way_out(entry)}")
    for file in entry.files:
        problem = _problem(file if contents else replace(file, sha256=None))
        if problem is not None:
            raise WeightsMissing(f"{entry.name}: {file.path} {problem}; {_way_out(entry, file)}")
    if not entry.weights_path.is_file():
        raise WeightsMissing(f"{entry.name}: {entry.weights_path} is missing; {_way_out(entry)}")


def status(entry: ModelEntry) -> str:
    """`ready`, `not downloaded`, or what is wrong, in a few words for a table."""
    if entry.files and all(file.url and not file.path.is_file() for file in entry.files):
        return "not downloaded"
    try:
        check(entry)
    except WeightsMissing as error:
        return str(error)
    return "ready"


def fetch(
    name: str, models_dir: Path | None = None, *, on_progress: Callable[[str, int, int], None] | None = None
) -> ModelEntry:
    """Download the missing files of one model; `on_progress(file name, bytes so far, bytes in all)`.

    A file appears under its name only when it is whole. Raises WeightsMissing.
    """
    entry = registry(models_dir).get(name)
    if entry is None:
        raise WeightsMissing(_unknown(name, registry(models_dir)))
    for file in entry.files:
        if _problem(file) is None:
            continue
        if file.url is None:
            raise WeightsMissing(f"{name}: {file.path} {_problem(file)} and has no download address; {_way_out(entry)}")
        if file.sha256 is None or file.size_bytes is None:
            raise WeightsMissing(
                f"{name}: {file.path.name} has no sha256 and size_bytes in {REGISTRY_FILE}: not fetched"
            )
        _download(entry, file, on_progress)
    check(entry)
    return entry


def update(name: str, models_dir: Path | None = None) -> ModelEntry:
    """Write the size and sha256 of every file in a bundled model's folder into models.yaml."""
    folder = models_dir or find_models_dir()
    path = folder / REGISTRY_FILE
    entries = _read_registry(path)
    if name not in entries or "folder" not in entries[name]:
        raise WeightsMissing(f"{name!r} is no bundled model of {path}")
    found = sorted(file for file in (folder / entries[name]["folder"]).iterdir() if file.suffix != ".md")
    entries[name]["files"] = [
        {"name": file.name, "size_bytes": file.stat().st_size, "sha256": _sha256(file)} for file in found
    ]
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    path.write_text("\n".join([*header, "", yaml.safe_dump(entries, sort_keys=False, width=120)]))
    return registry(folder)[name]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of an official `.pt` ({"model": state dict}) or a `.safetensors` file, on the CPU.

    Raises WeightsMissing when the file cannot be read. Nothing in the file is executed.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes surface as whatever the reader stumbled over
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.split(" In PyTorch ")[0]  # which goes on to say how to load it without any safety
        raise WeightsMissing(f"{path} cannot be read as weights ({reason}); fetch or copy it again") from error
    tensors = content.get("model") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise WeightsMissing(
            f"{path} holds no {{'model': tensors}} as SAM 2 checkpoints do; it is another kind of file"
        )
    return tensors


def load_strictly(model: nn.Module, path: Path) -> None:
    """Copy the weights of `path` into `model`. Raises WeightsMissing unless every name and shape agrees."""
    have = read_state_dict(path)
    want = model.state_dict()
    wrong = [
        f"{name} is {tuple(have[name].shape)} instead of {tuple(want[name].shape)}"
        for name in want
        if name in have and have[name].shape != want[name].shape
    ]
    problems = {
        "missing": [name for name in want if name not in have],
        "unknown": [name for name in have if name not in want],
        "shape": wrong,
    }
    if any(problems.values()):
        found = "; ".join(f"{len(names)} {what} ({names[0]})" for what, names in problems.items() if names)
        raise WeightsMissing(f"{path} does not fit the model: {found}; weights and configuration belong together")
    model.load_state_dict(have)


def main(arguments: list[str] | None = None) -> None:
    """`python -m referent.weights --update NAME`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--update", metavar="NAME", required=True, help="rewrite this bundled model's sizes and sha256")
    entry = update(parser.parse_args(arguments).update)
    for file in entry.files:
        print(f"{file.path.name}  {file.size_bytes} bytes  {file.sha256}")


def _read_registry(path: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = yaml_tree(path)
    except ConfigError as error:
        raise WeightsMissing(f"{error}; set REFERENT_MODELS_DIR") from error
    if not isinstance(entries, dict) or not all(isinstance(raw, dict) for raw in entries.values()):
        raise WeightsMissing(f"{path} must hold one mapping per model")
    return entries


def _entry(models_dir: Path, name: str, raw: Mapping[str, Any]) -> ModelEntry:
    folder = models_dir / raw.get("folder", "")
    try:
        files = tuple(
            ModelFile(folder / file["name"], file.get("size_bytes"), file.get("sha256"), file.get("url"))
            for file in raw.get("files") or ()
        )
        return ModelEntry(
            name, raw["kind"], folder, raw["config"], files, raw.get("license", "unknown"), raw.get("source", "")
        )
    except (KeyError, TypeError) as error:
        raise WeightsMissing(f"{models_dir / REGISTRY_FILE}: entry {name!r} lacks {error}") from error


def _entry_from_path(name: str, known: Mapping[str, ModelEntry]) -> ModelEntry:
    """A model outside the registry: a weights file with its YAML beside it, or a folder."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _entry_from_folder(path)
    if path.suffix not in WEIGHT_SUFFIXES:
        raise WeightsMissing(_unknown(name, known))
    if not path.is_file():
        raise WeightsMissing(f"{path} does not exist")
    for config in (path.with_suffix(".yaml"), path.parent / "model.yaml"):
        if config.is_file():
            return ModelEntry(path.stem, "sam2", path.parent, config.name, (ModelFile(path),), source=str(path))
    for entry in known.values():
        if entry.kind == "sam2" and any(file.path.name == path.name for file in entry.files):
            return ModelEntry(path.stem, "sam2", path.parent, entry.config, (ModelFile(path),), source=str(path))
    raise WeightsMissing(f"{path} has no configuration: put {path.with_suffix('.yaml').name} or model.yaml beside it")


def _entry_from_folder(folder: Path) -> ModelEntry:
    kinds = {"model.yaml": "sam2", "config.json": "qwen3_vl"}
    config = next((file for file in kinds if (folder / file).is_file()), None)
    if config is None:
        raise WeightsMissing(f"{folder} is no model: it holds neither {' nor '.join(kinds)}")
    weights = sorted(file for file in folder.iterdir() if file.suffix in WEIGHT_SUFFIXES)
    return ModelEntry(folder.name, kinds[config], folder, config, tuple(map(ModelFile, weights)), source=str(folder))


def _problem(file: ModelFile) -> str | None:
    """What is wrong with a file; None = nothing."""
    if not file.path.is_file():
        return "is missing"
    size_bytes = file.path.stat().st_size
    if file.size_bytes is not None and size_bytes != file.size_bytes:
        return f"has {size_bytes} bytes instead of {file.size_bytes}"
    if file.sha256 is not None and _sha256(file.path) != file.sha256:
        return "is damaged (its sha256 is not the one in models.yaml)"
    return None


def _way_out(entry: ModelEntry, file: ModelFile | None = None) -> str:
    if file is not None and file.url is not None:
        return f"`referent models fetch {entry.name}` downloads it, or put {file.url} there yourself"
    return "restore it from the repository, or set REFERENT_MODELS_DIR to a folder that has it"


def _unknown(name: str, known: Mapping[str, ModelEntry]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown model {name!r}; {hint}known: {', '.join(known)}; or give the path of a weights file or folder"


def _download(entry: ModelEntry, file: ModelFile, on_progress: Callable[[str, int, int], None] | None) -> None:
    import httpx

    assert file.url is not None
    assert file.size_bytes is not None
    part = file.path.with_name(file.path.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with httpx.stream("GET", file.url, follow_redirects=True, timeout=30) as reply, part.open("wb") as sink:
            reply.raise_for_status()
            for block in reply.iter_bytes(1 << 20):
                sink.write(block)
                if sink.tell() > file.size_bytes:
                    raise WeightsMissing(f"{entry.name}: {file.url} sent more than the {file.size_bytes} bytes it has")
                if on_progress is not None:
                    on_progress(file.path.name, sink.tell(), file.size_bytes)
        problem = _problem(ModelFile(part, file.size_bytes, file.sha256))
        if problem is not None:
            raise WeightsMissing(f"{entry.name}: what {file.url} sent {problem}; try again later")
        part.replace(file.path)
    except (httpx.HTTPError, OSError) as error:
        raise WeightsMissing(
            f"{entry.name}: {file.url} could not be fetched ({error}); download it elsewhere and put it at {file.path}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sam2_package() -> Path:
    spec = importlib.util.find_spec("sam2")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissing("the sam2 package is not installed; `make setup` or the README says how to install it")
    return Path(spec.submodule_search_locations[0])


if __name__ == "__main__":
    main()
