"""``tools list`` and ``tools run``: one tool alone, what it prints, and how it ends."""

import json

import numpy as np
import pytest
from langchain_core.tools import tool
from PIL import Image
from typer.testing import CliRunner

from citrus_agent.app.alone import call_tool, open_case
from citrus_agent.app.cli import app
from citrus_agent.app.commands.tools import parse_values
from citrus_agent.core.errors import ToolFailure, UsageError

pytestmark = pytest.mark.usefixtures("simulated_model")


def run(*arguments):
    return CliRunner().invoke(app, ["tools", *map(str, arguments)])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def files(tmp_path, picture):
    image, mask = picture([(60, 50, 30, 15, 40)])
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.full_like(image, 250)).save(tmp_path / "bright.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "image.png").read_bytes()[:60])
    return tmp_path


def test_list_names_every_tool_with_its_arguments():
    rows = json.loads(run("list", "--json").stdout)
    assert {"detect_lesions", "segment_lesion", "measure_lesion", "describe_lesion", "apply_guideline"} <= {row["name"] for row in rows}
    segment = next(row for row in rows if row["name"] == "segment_lesion")
    assert segment["arguments"] == ["box", "image", "point", "region", "seg"]
    assert "segment_lesion" in run("list").stdout


def test_detect_prints_evidence_with_handles_or_as_json(files):
    result = run("run", "detect_lesions", files / "image.png")
    assert result.exit_code == 0
    assert "E1 finding image_impression" in result.stdout
    answer = json.loads(run("run", "detect_lesions", files / "image.png", "--json").stdout)
    assert [item["kind"] for item in answer["evidence"]] == ["finding", "region"]
    assert answer["evidence"][1]["box"] == [30.0, 35.0, 90.0, 65.0]
    assert all(item["simulated"] for item in answer["evidence"])


def test_segment_writes_the_mask_that_measure_reads_back(files):
    out = files / "out.png"
    assert run("run", "segment_lesion", files / "image.png", "--set", "region=[25,30,95,70]", "--out", out).exit_code == 0
    assert np.array_equal(pixels(out) > 0, pixels(files / "mask.png"))
    answer = json.loads(run("run", "measure_lesion", files / "image.png", "--set", f"mask=@{out}", "--json").stdout)
    longest = next(item for item in answer["evidence"] if item["quantity"] == "longest_diameter")
    assert longest["value"] == pytest.approx(59, abs=2)
    assert longest["unit"] == "{pixel}"


def test_view_is_written_as_png(files):
    assert run("run", "view_region", files / "image.png", "--set", "box=[10,10,60,60]", "--out", files / "v.png").exit_code == 0
    assert pixels(files / "v.png").shape == (122, 122)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no_such_tool", "image.png"], 2, "detect_lesions"),
        (["segment_lesion", "image.png", "--set", "seg"], 2, "KEY=VALUE"),
        (["segment_lesion", "image.png", "--set", "box=[1,2]"], 2, "box"),
        (["segment_lesion", "image.png"], 2, "exactly one prompt"),
        (["measure_lesion", "image.png", "--set", "mask=E7"], 2, "E7"),
        (["segment_lesion", "image.png", "--set", "region=[9,9,1,1]"], 2, "x2 > x1"),
        (["measure_lesion", "image.png", "--set", "mask=@nothing.png"], 3, "mask"),
        (["detect_lesions", "broken.png"], 3, "the file"),
        (["detect_lesions", "nothing.png"], 3, "does not exist"),
        (["detect_lesions", "bright.png"], 4, "breast ultrasound"),
        (["detect_lesions", "image.png", "--modality", "CT"], 4, "CT"),
        (["detect_lesions", "image.png", "--out", "x.png"], 2, "no picture"),
    ],
)
def test_wrong_calls_end_with_their_code_and_one_sentence(files, monkeypatch, arguments, code, words):
    monkeypatch.chdir(files)
    result = run("run", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    answer = json.loads(run("run", *arguments, "--json").stdout)
    assert set(answer) == {"error"}


def test_a_tool_of_another_package_answers_in_text_and_its_errors_are_ours(files):
    @tool
    def echo(word: str) -> str:
        """Say it again."""
        if word == "fail":
            raise RuntimeError("out of luck")
        return word

    case = open_case([files / "image.png"])
    [field] = call_tool(echo, case, {"word": "cyst"})
    assert (field.kind, field.value, field.validated_scope) == ("document_field", "cyst", False)
    assert field.id in case.evidence
    with pytest.raises(ToolFailure, match="echo raised RuntimeError: out of luck"):
        call_tool(echo, case, {"word": "fail"})


def test_values_are_json_where_they_parse():
    assert parse_values(["k=3", "q=a=b", "seg=true", "box=[1,2,3,4]", "empty="]) == {
        "k": 3,
        "q": "a=b",
        "seg": True,
        "box": [1, 2, 3, 4],
        "empty": "",
    }
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_values(["=3"])
