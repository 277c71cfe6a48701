"""Environment defaults that keep libraries quiet: no telemetry, no hub, no self-installation. Knows no library's code.

Only defaults: a variable that the user has set stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

OFFLINE_DEFAULTS = {
    "ANONYMIZED_TELEMETRY": "False",  # Chroma
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # of local weights too; steps are shown by the program itself
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "False",
    "YOLO_OFFLINE": "True",
}


def offline_defaults(environment: MutableMapping[str, str] | None = None) -> None:
    """Set each default that is not set yet. Call it before the libraries are imported: they read these once."""
    target = os.environ if environment is None else environment
    for name, value in OFFLINE_DEFAULTS.items():
        target.setdefault(name, value)
