"""Settings: one tree, one place, errors that name the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from referent.cli import describe
from referent.config import Config, load_config
from referent.errors import ConfigError
from referent.settings import flatten, override, to_tree


def test_every_setting_has_a_meaning_and_a_legal_default() -> None:
    settings = list(flatten(Config()))
    assert len(settings) > 30
    assert all(item.info.meaning for item in settings)
    assert all(type(item.value) in (bool, int, float, str) for item in settings)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("geometry:\n  erode_px: 3\ngrounding:\n  backoff_max_s: 8\n")
    config = load_config(file)
    assert config.geometry.erode_px == 3
    assert config.grounding.backoff_max_s == 8.0
    changed = {a.name for a, b in zip(flatten(config), flatten(Config()), strict=True) if a.value != b.value}
    assert changed == {"geometry.erode_px", "grounding.backoff_max_s"}


def test_off_needs_no_quotes_where_it_is_a_choice(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("grounder:\n  calibrate: off\n")
    assert load_config(file).grounder.calibrate == "off"
    file.write_text("grounder:\n  model: off\n")
    with pytest.raises(ConfigError, match=r"grounder\.model: False is bool, str is needed"):
        load_config(file)


def test_a_ros_parameter_file_is_taken_too(tmp_path: Path) -> None:
    file = tmp_path / "ros.yaml"
    file.write_text("referent:\n  ros__parameters:\n    tracker:\n      threads: 2\n    output.frame: map\n")
    config = load_config(file)
    assert (config.tracker.threads, config.output.frame) == (2, "map")


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    config = override(Config(), {"output.frame": "map", "input.max_skew_s": 0.05})
    file = tmp_path / "shown.yaml"
    file.write_text(describe(config))
    assert yaml.safe_load(file.read_text()) == to_tree(config)
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("geometri:\n  erode_px: 1\n", "unknown group 'geometri' (did you mean 'geometry'?)"),
        ("geometry:\n  erode: 1\n", "unknown setting 'geometry.erode' (did you mean 'geometry.erode_px'?)"),
        ("geometry:\n  erode_px: 99\n", "geometry.erode_px: 99 is outside 0 to 50 px"),
        ("geometry:\n  erode_px: two\n", "geometry.erode_px: 'two' is str, int is needed"),
        ("geometry:\n  erode_px: true\n", "geometry.erode_px: True is bool, int is needed"),
        ("tracker:\n  device: tpu\n", "tracker.device: 'tpu' is not one of auto, cpu, cuda"),
        ("tracker: 5\n", "group 'tracker' must hold settings, found 5"),
        ("- a\n- b\n", "expected groups of settings, found list"),
        ("[]\n", "expected groups of settings, found list"),
        ("[" * 100_000, "not YAML"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert complaint in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_config(tmp_path / "nowhere.yaml")
