"""The command line as a whole: it starts fast and quiet, and one error always ends the same way."""

import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from citrus_agent.app.cli import app
from citrus_agent.app.commands.output import ExitCode, answering, exit_code
from citrus_agent.app.live import plain
from citrus_agent.app.offline import OFFLINE_DEFAULTS, offline_defaults
from citrus_agent.core import errors

HEAVY = ("chromadb", "langchain_core", "langgraph", "monai", "numpy", "torch", "transformers")


@pytest.mark.parametrize("arguments", [["--help"], ["consult", "--help"], ["tools", "run", "--help"], ["--version"]])
def test_help_loads_no_heavy_library(arguments):
    code = (
        "import sys\nfrom citrus_agent.app.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert result.stdout


def test_importing_the_package_loads_no_heavy_library():
    code = f"import sys, citrus_agent; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["consult", "trace", "tools", "eval", "doctor"])
def test_every_command_is_there_and_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert command in result.stdout


def test_no_arguments_or_wrong_ones_are_wrong_use():
    assert CliRunner().invoke(app, []).exit_code == 2
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def test_defaults_keep_libraries_offline_and_the_users_own_values_stay():
    environment = {"HF_HUB_OFFLINE": "0"}
    offline_defaults(environment)
    assert environment == OFFLINE_DEFAULTS | {"HF_HUB_OFFLINE": "0"}
    assert {"ANONYMIZED_TELEMETRY", "HF_HUB_OFFLINE", "LANGSMITH_TRACING", "YOLO_AUTOINSTALL", "YOLO_OFFLINE"} <= set(environment)


def test_any_command_sets_the_offline_defaults(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in OFFLINE_DEFAULTS}
    code = (
        "import os\nfrom citrus_agent.app.cli import app\n"
        "try:\n    app(['trace', 'verify', '.'])\nexcept SystemExit:\n    print(os.environ['LANGSMITH_TRACING'])"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "false"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("x"), 3),
        (errors.TraceError("x"), 3),
        (errors.ResourceError("x"), 3),
        (errors.UsageError("x"), 2),
        (errors.ConfigurationError("x"), 2),
        (errors.ToolArgumentError("x"), 2),
        (errors.ContractRefusal("x", "modality"), 4),
        (errors.BudgetExceeded("x", "steps"), 5),
        (errors.Interrupted("x"), 130),
        (errors.ToolFailure("x"), 1),
        (errors.PlannerError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code(error, code, capsys):
    assert exit_code(error) == code
    with pytest.raises(typer.Exit) as end, answering(as_json=False):
        raise error
    assert end.value.exit_code == code
    assert capsys.readouterr().err == "error: x\n"


def test_ctrl_c_outside_of_a_run_ends_with_130():
    with pytest.raises(typer.Exit) as end, answering(as_json=False):
        raise KeyboardInterrupt
    assert end.value.exit_code == ExitCode.INTERRUPTED


def test_text_of_a_file_or_model_cannot_steer_the_terminal():
    assert str(plain("a\x1b]0;title\x07b [bold]c\u202e")) == "a]0;titleb [bold]c"
