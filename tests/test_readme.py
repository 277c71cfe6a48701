"""The README's Python examples are run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.S | re.M)


def test_there_is_an_example_for_each_kind_of_user():
    assert len(BLOCKS) == 3
    assert len(BLOCKS[0].splitlines()) < 30


@pytest.mark.parametrize("block", BLOCKS, ids=["developer", "researcher", "consultation"])
def test_example_runs_and_prints_supported_claims(block, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path / "cache"))
    exec(compile(block, str(README), "exec"), {"__name__": "example"})  # the text under test
    printed = capsys.readouterr().out
    assert "supported" in printed
    assert "unsupported" not in printed
