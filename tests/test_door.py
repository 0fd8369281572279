"""The door: code is no data, data is no code, and what is fetched is known before."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, forever, sends

from referent import weights
from referent.errors import WeightsMissing

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for folder in ("src", "ros2_ws/src", "launch", "tools") for path in (ROOT / folder).rglob("*.py")]


@functools.cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in SOURCES]


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name; "" before what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@functools.cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Where, the dotted name that is called, and the call: of all our code that runs on a robot."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", dotted(node.func), node)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def says(call: ast.Call, name: str, value: object) -> bool:
    return any(
        each.arg == name and isinstance(each.value, ast.Constant) and each.value.value == value
        for each in call.keywords
    )


def test_no_code_is_made_of_data() -> None:
    forbidden = {
        "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler",
        "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "joblib.load", "marshal.loads",
        "dill.loads", "shelve.open", "torch.hub.load", "subprocess.getoutput", "subprocess.getstatusoutput",
    }  # fmt: skip
    assert [(where, name) for where, name, _ in calls() if name in forbidden] == []


def test_no_module_can_unpickle() -> None:
    pickling = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path, tree in trees():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not pickling & {name.split(".")[0] for name in names}, path


def test_checkpoints_and_arrays_are_read_as_data_only() -> None:
    for where, name, call in calls():
        if name == "torch.load":
            assert says(call, "weights_only", True), where
        if name in ("np.load", "numpy.load"):
            assert says(call, "allow_pickle", False), where


def test_models_bring_weights_and_no_code() -> None:
    found = 0
    for where, name, call in calls():
        if name.endswith(".from_pretrained"):
            found += 1
            assert says(call, "local_files_only", True), where
            if name.split(".")[0].startswith("Auto"):
                assert says(call, "trust_remote_code", False), where
            if "For" in name.split(".")[0]:
                assert says(call, "use_safetensors", True), where
    assert found >= 5


def test_no_shell_ever_sees_a_word() -> None:
    for where, name, call in calls():
        if name.startswith("subprocess.") or name == "ExecuteProcess":
            assert not any(each.arg == "shell" for each in call.keywords), where
            command = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "cmd"), None)
            assert not isinstance(command, ast.Constant | ast.JoinedStr), f"{where}: a list of words is needed"


def test_no_http_client_goes_where_it_is_sent_with_a_key_or_leaves_certificates_unchecked() -> None:
    made = [(where, name, call) for where, name, call in calls() if name.startswith("httpx.") and name[6:7].islower()]
    made += [(where, name, call) for where, name, call in calls() if name in ("httpx.Client", "httpx.AsyncClient")]
    assert made
    for where, _, call in made:
        assert not any(each.arg == "verify" for each in call.keywords), where
        if any(each.arg == "headers" for each in call.keywords):
            assert says(call, "follow_redirects", False), where


def test_what_can_be_fetched_is_known_by_its_size_and_sha256() -> None:
    fetched = [file for entry in weights.registry().values() for file in entry.files if file.url]
    assert fetched
    for file in fetched:
        assert str(file.url).startswith("https://")
        assert file.size_bytes
        assert re.fullmatch(r"[0-9a-f]{64}", str(file.sha256))


def a_models_dir(folder: Path, url: str, **known: object) -> Path:
    file = json.dumps({"name": "m.pt", "url": url, **known})
    (folder / "m").mkdir()
    (folder / "m" / "model.yaml").write_text("model: {}")
    (folder / "models.yaml").write_text(f"m: {{kind: sam2, folder: m, config: model.yaml, files: [{file}]}}\n")
    return folder


def test_a_file_of_unknown_sum_is_not_fetched(tmp_path: Path, serve: Callable[..., ScriptedServer]) -> None:
    server = serve(sends(b"x"))
    with pytest.raises(WeightsMissing, match="sha256"):
        weights.fetch("m", a_models_dir(tmp_path, server.url))
    assert server.requests == []


def test_a_download_that_does_not_end_is_left_at_the_known_size(
    tmp_path: Path, serve: Callable[..., ScriptedServer]
) -> None:
    server = serve(forever(b"x" * 65536))
    folder = a_models_dir(tmp_path, server.url, size_bytes=100_000, sha256="0" * 64)
    sizes: list[int] = []
    with pytest.raises(WeightsMissing, match="more than the 100000 bytes"):
        weights.fetch("m", folder, on_progress=lambda _name, done, _all: sizes.append(done))
    assert max(sizes, default=0) <= 2 << 20
    assert [path.name for path in (folder / "m").iterdir()] == ["model.yaml"]
