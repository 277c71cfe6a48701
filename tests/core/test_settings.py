"""Settings from arguments and the environment, checked; and the cache folder."""

import os
from pathlib import Path

import pytest

from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.settings import Settings, ensure_cache_dir, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("CITRUS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_defaults(tmp_path):
    made = load_settings()
    assert (made.model, made.planner, made.device, made.threads) == ("citrus-v-nano", None, "cpu", None)
    assert (made.max_steps, made.max_seconds, made.max_tokens, made.tool_timeout) == (16, 300.0, 8192, 60.0)
    assert (made.seed, made.max_pixels, made.planner_images) == (0, 64_000_000, True)
    assert made.cache_dir == tmp_path / "cache" / "citrus-agent"


def test_environment_then_arguments(monkeypatch):
    monkeypatch.setenv("CITRUS_MAX_STEPS", "4")
    monkeypatch.setenv("CITRUS_DEVICE", "cuda:1")
    monkeypatch.setenv("CITRUS_PLANNER", "")
    monkeypatch.setenv("CITRUS_PLANNER_IMAGES", "false")
    monkeypatch.setenv("CITRUS_CACHE_DIR", "~/elsewhere")
    made = load_settings(device="cpu", threads=None)
    assert (made.max_steps, made.device, made.planner, made.planner_images) == (4, "cpu", None, False)
    assert made.cache_dir == Path.home() / "elsewhere"


def test_relative_xdg_cache_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert load_settings().cache_dir == Path.home() / ".cache" / "citrus-agent"


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_steps", 0), ("max_seconds", -1), ("max_seconds", float("inf")), ("tool_timeout", float("nan")), ("device", "gpu"),
     ("seed", -1), ("threads", 0), ("max_pixels", 0), ("model", ""), ("unknown", 1)],
)  # fmt: skip
def test_wrong_values_are_named(name, value):
    with pytest.raises(ConfigurationError, match=name):
        load_settings(**{name: value})


def test_values_are_not_repeated_in_the_error(monkeypatch):
    monkeypatch.setenv("CITRUS_MAX_STEPS", "secret")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_cache_folder(tmp_path):
    made = Settings(cache_dir=tmp_path / "a" / "b")
    folder = ensure_cache_dir(made, "library", "index")
    assert folder == tmp_path / "a" / "b" / "library" / "index"
    assert folder.is_dir()
    assert made.cache_dir.stat().st_mode & 0o077 == 0
    assert ensure_cache_dir(made) == made.cache_dir
    with pytest.raises(ConfigurationError, match="leaves the cache folder"):
        ensure_cache_dir(made, "..", "x")
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="CITRUS_CACHE_DIR"):
        ensure_cache_dir(Settings(cache_dir=tmp_path / "file" / "x"))
