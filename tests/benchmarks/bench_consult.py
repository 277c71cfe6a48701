"""Times and memory of a consultation, measured in fresh processes: ``python tests/benchmarks/bench_consult.py [--write]``.

Prints Markdown; ``--write`` puts it into README.md beside this file. It knows nothing of what a good number is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).with_name("README.md")
MARKS = ("<!-- measured -->", "<!-- /measured -->")
NODE_OF = {"plan": "plan", "tool_result": "act", "tool_error": "act", "verification": "verify"}


def import_seconds(repeats: int) -> float:
    """Median of ``python -X importtime -c "import citrus_agent"``, the last line's cumulative time."""
    command = [sys.executable, "-X", "importtime", "-c", "import citrus_agent"]
    lines = [
        subprocess.run(command, capture_output=True, text=True, check=True).stderr.strip().splitlines()[-1] for _ in range(repeats + 1)
    ]
    return statistics.median(int(line.split("|")[1]) / 1e6 for line in lines[1:])


def help_seconds(repeats: int) -> float:
    """Median wall time of ``citrus-agent --help``; the first call warms the disk."""
    command = [str(Path(sys.executable).with_name("citrus-agent")), "--help"]
    walls = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - started)
    return statistics.median(walls[1:])


def consult_twice(model: str, cache: str) -> dict:
    """The two consultations in a process of their own; the first counts from the process's start."""
    command = [sys.executable, __file__, "--model", model, "--child", repr(time.time())]
    environment = os.environ | {"CITRUS_CACHE_DIR": cache}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def child(started: float, model: str) -> None:
    """Load, consult on one phantom, consult on another one; prints JSON."""
    from PIL import Image

    from citrus_agent import CitrusAgent
    from citrus_agent.app.phantom import render_phantom

    question = "Give a full report with a BI-RADS category."
    runs, spent = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in (0, 1):  # another image, so that no kept embedding helps the second one
            Image.fromarray(render_phantom(seed)).save(f"{folder}/{seed}.png")
        agent = CitrusAgent.from_pretrained(model)
        for seed in (0, 1):
            if seed:
                started = time.time()
            result = agent.consult(f"{folder}/{seed}.png", question, modality="US", body_part="breast")
            runs.append(time.time() - started)
            spent.append(node_seconds(result.trace.events, runs[-1]))
            assert result.report.abstention is None, result.report.abstention
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": runs, "nodes": spent, "peak": peak}))


def node_seconds(events: tuple, wall: float) -> dict[str, float]:
    """Seconds by node, from the trace; ``rest`` is what no event names: imports, loading, the study, checkpoints, the report's files."""
    spent: Counter[str] = Counter()
    for event in events:
        if event.kind in NODE_OF:
            spent[NODE_OF[event.kind]] += event.payload["seconds"]
    return {**spent, "rest": wall - sum(spent.values())}


def markdown(measured: dict) -> str:
    """The tables."""
    first, second = measured["seconds"]
    rows = [
        ("`import citrus_agent` (`-X importtime`)", f"{measured['import']:.3f} s"),
        ("`citrus-agent --help`", f"{measured['help']:.2f} s"),
        ("first consultation, from the start of the process", f"{first:.1f} s"),
        ("second consultation in the same process, another image", f"{second:.1f} s"),
        ("second / first", f"{second / first:.2f}"),
        ("peak resident memory", f"{measured['peak'] / 1e9:.2f} GB"),
    ]
    nodes = ["plan", "act", "verify", "rest"]
    parts = [
        [f"{one.get(node, 0):.2f} s ({100 * one.get(node, 0) / wall:.0f} %)" for node in nodes]
        for one, wall in zip(measured["nodes"], measured["seconds"], strict=True)
    ]
    return "\n".join(
        [
            measured["machine"],
            "",
            "| what | measured |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            "| node | first consultation | second consultation |",
            "|---|---|---|",
            *(f"| {node} | {a} | {b} |" for node, a, b in zip(nodes, *parts, strict=True)),
        ]
    )


def machine() -> str:
    """What it was measured on."""
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "langgraph"))
    threads = os.environ.get("OMP_NUM_THREADS", "as torch chooses")
    return f"{os.cpu_count()} CPU cores, threads {threads}, {platform.machine()}, Python {platform.python_version()}, {names}."


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in README.md")
    parser.add_argument("--repeats", type=int, default=5, help="of the two start-up measurements")
    parser.add_argument("--model", default="citrus-v-nano")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.model)
        return
    with tempfile.TemporaryDirectory() as cache:
        consult_twice(options.model, cache)  # builds the library's index and warms the disk
        measured = consult_twice(options.model, cache)
    measured |= {"import": import_seconds(options.repeats), "help": help_seconds(options.repeats), "machine": machine()}
    text = markdown(measured)
    print(text)
    if options.write:
        page = README.read_text()
        README.write_text(re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: f"{MARKS[0]}\n{text}\n{MARKS[1]}", page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
