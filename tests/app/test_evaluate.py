"""``eval images`` on small folders with a simulated model: files, statuses, and metrics known beforehand."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from citrus_agent.app.cli import app
from citrus_agent.app.image_folder import find_images
from citrus_agent.core.errors import InputError

SUSPICIOUS, BENIGN = 5, 40


def run(*arguments):
    return CliRunner().invoke(app, ["eval", "images", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, picture):
    """BUSI's layout: three benign (one with two masks), three malignant, two normal, one broken file, one that is out of domain."""
    root = tmp_path / "set"
    lesions = {"benign": BENIGN, "malignant": SUSPICIOUS, "normal": None}
    for label, grey in lesions.items():
        (root / label).mkdir(parents=True)
        for index in range(2 if grey is None else 3):
            image, mask = picture([] if grey is None else [(50 + 5 * index, 50, 25, 14, grey)], seed=index)
            Image.fromarray(image).save(root / label / f"{label} ({index}).png")
            Image.fromarray(mask).save(root / label / f"{label} ({index})_mask.png")
    image, _ = picture([(30, 40, 15, 10, BENIGN), (90, 60, 15, 10, BENIGN)], seed=9)
    Image.fromarray(image).save(root / "benign" / "benign (2).png")
    for suffix, x, y in (("", 30, 40), ("_1", 90, 60)):
        Image.fromarray(picture([(x, y, 15, 10, BENIGN)])[1]).save(root / "benign" / f"benign (2)_mask{suffix}.png")
    (root / "benign" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    Image.fromarray(np.full((96, 128), 250, np.uint8)).save(root / "normal" / "bright.png")
    return root


@pytest.mark.usefixtures("simulated_model")
def test_predictions_and_metrics_of_a_model_that_is_always_right(folder, tmp_path):
    result = run(folder, "--predictions", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["statuses"] == {"ok": 8, "error:input_error": 1, "abstained:image_out_of_scope": 1}
    assert (answer["images"], answer["with_truth"]) == (10, 9)
    values = {name: entry["value"] for name, entry in answer["metrics"].items()}
    assert values == {"dice_lesion": 1, "dice_normal": 1, "ap50": 1, "auc_suspicious_vs_benign": 1, "false_alarms": 0}

    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows["benign (0)"]) == ["name", "status", "category", "p_suspicious", "boxes"]
    assert len(json.loads(rows["benign (2)"]["boxes"])) == 2
    assert json.loads(rows["benign (0)"]["boxes"])[0] == {"box": [25.0, 36.0, 75.0, 64.0], "score": 0.9}
    assert float(rows["malignant (0)"]["p_suspicious"]) > 0.8 > 0.2 > float(rows["benign (0)"]["p_suspicious"])
    assert rows["malignant (1)"]["category"].startswith("BI-RADS")
    assert rows["normal (0)"]["category"] == "BI-RADS 1"
    assert rows["broken"]["status"] == "error:input_error"
    assert (rows["bright"]["category"], rows["bright"]["p_suspicious"]) == ("", "")
    for name, row in rows.items():
        path = tmp_path / "out" / f"{name}_pred.png"
        assert path.exists() != (name == "broken")
        if path.exists():
            with Image.open(path) as file:
                mask = np.asarray(file)
            assert (mask.shape, mask.dtype) == ((96, 128), np.uint8)
            assert set(np.unique(mask)) <= {0, 255}
            assert bool(mask.any()) == bool(json.loads(row["boxes"]))


@pytest.mark.usefixtures("simulated_model")
def test_a_flat_folder_gives_predictions_only(folder, tmp_path):
    result = run(folder / "malignant", "--predictions", tmp_path / "out", "--json")
    answer = json.loads(result.stdout)
    assert (answer["images"], answer["metrics"], answer["with_truth"]) == (3, {}, 0)
    assert len(list((tmp_path / "out").glob("*_pred.png"))) == 3


@pytest.mark.usefixtures("simulated_model")
def test_only_the_subset_is_read_and_people_see_a_table(folder, tmp_path):
    (tmp_path / "names.txt").write_text("benign (0)\nmalignant (1).png\n\n")
    result = run(folder, "--subset", tmp_path / "names.txt")
    assert result.exit_code == 0
    assert "2 images: 2 ok" in result.stdout
    assert "dice_lesion" in result.stdout
    (tmp_path / "names.txt").write_text("benign (77)\n")
    result = run(folder, "--subset", tmp_path / "names.txt")
    assert result.exit_code == 3
    assert "benign (77)" in result.stderr


def test_equal_names_in_two_folders_stay_apart(tmp_path, picture):
    for label in ("benign", "normal"):
        (tmp_path / label).mkdir()
        Image.fromarray(picture()[0]).save(tmp_path / label / "1.png")
    assert [image.name for image in find_images(tmp_path)] == ["benign 1.png", "normal 1.png"]


def test_folds_share_nothing_and_cover_all(busi):
    parts = [{image.name for image in find_images(busi, fold=fold)} for fold in range(5)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(find_images(busi))


@pytest.mark.parametrize("make", [lambda path: path / "missing", lambda path: path])
def test_a_folder_without_images_is_bad_input(tmp_path, make):
    with pytest.raises(InputError, match="folder"):
        find_images(make(tmp_path))
    assert run(make(tmp_path)).exit_code == 3
