"""Reports as files: claims resolve or are marked, simulated is said everywhere, foreign text stays text, the overlay fits the evidence."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image as PILImage

from citrus_agent.app import overlay
from citrus_agent.app.markdown import SIMULATED, escape
from citrus_agent.app.phantom import phantom_mask, phantom_study
from citrus_agent.app.render import write_outputs
from citrus_agent.core.blobs import MemoryBlobStore, write_atomic
from citrus_agent.core.case import Case
from citrus_agent.core.errors import TraceError
from citrus_agent.core.evidence import EVIDENCE_ADAPTER, Mask, Measurement, Passage, Region
from citrus_agent.core.report import DISCLAIMER, Abstention, Claim, Report
from citrus_agent.core.study import Study

HEAD = "ab" * 32


def opened(simulated=True, mask=None):
    """A case with a region, its mask, two diameters and an area on the phantom."""
    blobs = MemoryBlobStore()
    study = phantom_study(blobs).model_copy(update={"simulated": simulated})
    case = Case(study, blobs)
    shape = phantom_mask() if mask is None else mask
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))
    common = {"tool": "measure_lesion", "image": study.images[0].blob}
    lesion = Region(box=(box[0] - 6, box[1] - 6, box[2] + 6, box[3] + 6), label="lesion", score=0.91, **common)
    outline = Mask(blob=case.put_mask(shape), box=box, area_px=int(shape.sum()), derived_from=(lesion.id,), **common)
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    lines = {
        "longest_diameter": ((box[0], middle[1]), (box[2], middle[1])),
        "perpendicular_diameter": ((middle[0], box[1]), (middle[0], box[3])),
        "area": (),
    }
    measured = [
        Measurement(quantity=name, value=12.3, unit="mm", low=11.8, high=12.9, points=points, derived_from=(outline.id,), **common)
        for name, points in lines.items()
    ]
    for item in (lesion, outline, *measured):
        case.evidence.add(item)
    return case


def claim(number=1, text="The longest diameter is 12.3 mm.", evidence=(), status="supported", **more):
    return Claim(id=f"c{number}", section="findings", kind="observation", text=text, evidence=evidence, status=status, **more)


def write(folder, case, report, head=HEAD):
    write_outputs(folder, report=report, graph=case.evidence, study=case.study, blobs=case.blobs, trace_head=head)
    picture = PILImage.open(io.BytesIO((folder / "overlay.png").read_bytes()))
    return (folder / "report.md").read_text(), json.loads((folder / "report.json").read_text()), picture


def cited(case, *handles):
    return tuple(case.evidence.resolve(handle).id for handle in handles)


def test_every_link_resolves_and_every_evidence_is_in_the_table(tmp_path):
    case = opened()
    report = Report(question="Is there a lesion?", category="BI-RADS 4A", model="m", claims=(claim(evidence=cited(case, "E3", "E4")),))
    text, data, _ = write(tmp_path / "new" / "out", case, report)
    targets = re.findall(r"\]\(#(e\d+)\)", text)
    assert targets == ["e3", "e4"]
    assert {f'<a id="{target}"></a>' in text for target in targets} == {True}
    assert all(item.id in text for item in case.evidence)
    assert "12.3 mm (11.8 to 12.9)" in text
    assert text.startswith("# Consultation: BI-RADS 4A\n")
    assert DISCLAIMER in text.replace("\\", "")
    assert HEAD in text
    assert data["claims"][0]["evidence"] == list(cited(case, "E3", "E4"))


def test_report_json_holds_what_readers_rely_on(tmp_path):
    case = opened()
    report = Report(question="q", category="BI-RADS 3", model="m", model_digest="d", claims=(claim(evidence=cited(case, "E3"), score=1.0),))
    _, data, _ = write(tmp_path, case, report)
    assert {"id", "section", "kind", "text", "evidence", "status", "score"} <= data["claims"][0].keys()
    assert (data["category"], data["abstained"], data["reason"], data["model"], data["simulated"]) == ("BI-RADS 3", False, None, "m", True)
    assert (data["trace_head"], data["question"], data["disclaimer"]) == (HEAD, "q", DISCLAIMER)
    assert [EVIDENCE_ADAPTER.validate_python(item) for item in data["evidence"].values()] == list(case.evidence)
    assert data["handles"]["E2"] == case.evidence.resolve("E2").id
    assert Study.model_validate_json(json.dumps(data["study"])) == case.study


@pytest.mark.parametrize(
    ("status", "mark"), [("unsupported", "UNSUPPORTED"), ("contradicted", "CONTRADICTED"), ("unchecked", "NOT CHECKED")]
)
def test_a_claim_that_does_not_hold_says_so_first(tmp_path, status, mark):
    case = opened()
    bad = claim(text="It is a cyst.", status=status, problems=("no evidence is named",), evidence=("mask-0123456789abcdef",))
    text, _, _ = write(tmp_path, case, Report(question="q", claims=(bad, claim(2, evidence=cited(case, "E3")))))
    line = next(line for line in text.splitlines() if "It is a cyst" in line)
    assert line.index(mark) < line.index("It is a cyst")
    assert "no evidence is named" in line
    assert "1 evidence missing" in line
    other = next(line for line in text.splitlines() if "longest diameter is" in line)
    assert not re.search("UNSUPPORTED|CONTRADICTED|NOT CHECKED", other)


def test_an_abstention_gives_its_reason_and_no_category(tmp_path):
    case = opened()
    report = Report(question="Write a poem", abstention=Abstention(reason="question_out_of_scope", message="Ask about a lesion."))
    text, data, _ = write(tmp_path, case, report)
    assert text.startswith("# Consultation: no answer\n")
    assert "question out of scope" in text
    assert "Ask about a lesion." in text
    assert (data["abstained"], data["reason"], data["message"]) == (True, "question_out_of_scope", "Ask about a lesion.")
    assert data["category"] is None
    assert "BI-RADS" not in text


def test_a_run_that_its_budget_stopped_says_so(tmp_path):
    text, data, _ = write(tmp_path, opened(), Report(question="q", stopped_by="seconds"))
    assert "| Stopped early by | seconds |" in text
    assert data["stopped_by"] == "seconds"


def test_simulated_is_said_in_all_three_or_in_none(tmp_path):
    report = Report(question="q")
    text, data, picture = write(tmp_path / "a", opened(), report)
    assert SIMULATED in text
    assert data["simulated"] is True
    assert picture.text["Comment"].startswith("SIMULATED")
    text, data, real = write(tmp_path / "b", opened(simulated=False), report)
    assert "SIMULATED" not in text
    assert data["simulated"] is False
    assert real.text["Comment"] == DISCLAIMER
    red = np.array([176, 0, 0])
    assert (np.asarray(picture)[:, :, :3] == red).all(-1).sum() > 5000
    assert not (np.asarray(real)[:, :, :3] == red).all(-1).any()


def test_a_simulated_model_makes_the_report_simulated(tmp_path):
    text, data, _ = write(tmp_path, opened(simulated=False), Report(question="q", simulated=True))
    assert data["simulated"] is True
    assert SIMULATED in text


NASTY = (
    "# h\n\n![x](http://evil.example/a.png) <script>1</script> | cell | `code` [l](javascript:1) *b* www.evil.example \x1b[31m \u202e a@b.c"
)


def test_foreign_text_stays_text(tmp_path):
    case = opened()
    passage = Passage(
        tool=NASTY, guideline="g", edition="1", section="s", text="t", text_sha256="0" * 64, span=(0, 1), citation=NASTY, score=1.0
    )
    case.evidence.add(passage)
    report = Report(question=NASTY, model=NASTY, category=NASTY, claims=(claim(text=NASTY, problems=(NASTY,), status="unsupported"),))
    text, _, _ = write(tmp_path, case, report)
    assert "<script" not in text.replace("\\<script", "")
    assert not re.search(r"(?<!\\)\]\((?!#e\d)", text)
    assert not re.search(r"(?<!\\)!\[|(?<![\\w])www\.|https?://", text)
    assert "\x1b" not in text
    assert "\u202e" not in text
    rows = [line for line in text.splitlines() if line.startswith("| <a id=")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6] * len(case.evidence)
    assert sum(line.startswith("# ") for line in text.splitlines()) == 1


@pytest.mark.parametrize(
    ("raw", "safe"), [("1. x", "1\\. x"), ("- x", "\\- x"), ("a\n\nb", "a b"), ("12.3 mm", "12.3 mm"), ("a_b", "a\\_b")]
)
def test_escape(raw, safe):
    assert escape(raw) == safe


def at(picture, x, y):
    scale = picture.width / 384
    return picture.convert("RGB").getpixel((round((x + 0.5) * scale - 0.5), round((y + 0.5) * scale - 0.5)))


def test_the_overlay_draws_evidence_where_it_is(tmp_path):
    square = np.zeros((300, 384), bool)
    square[100:141, 120:201] = True
    case = opened(mask=square)
    _, _, picture = write(tmp_path, case, Report(question="q", claims=(claim(evidence=cited(case, "E3", "E4")),)))
    assert picture.width == 900
    assert picture.height > 300 * 900 / 384 + 60  # words stand under the picture
    blue, orange, yellow, pink = ("#56B4E9", "#E69F00", "#F0E442", "#CC79A7")
    array = np.asarray(picture.convert("RGB"))[:703]
    for colour, (left, top, right, bottom) in {
        blue: (114, 94, 206, 146),
        orange: (119.3, 99.3, 200.7, 140.7),
        yellow: (120, 120, 200, 120),
        pink: (160, 100, 160, 140),
    }.items():
        rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        rows, columns = np.nonzero((array == rgb).all(-1))
        box = columns.min(), rows.min(), columns.max(), rows.max()
        want = [(value + 0.5) * 900 / 384 - 0.5 for value in (left, top, right, bottom)]
        # Crosses reach 8 px beyond an end point, a label stands within 40 px of its mark.
        assert all(abs(got - wanted) < 42 for got, wanted in zip(box, want, strict=True)), colour
    assert at(picture, 140, 119.9) == (0xF0, 0xE4, 0x42)
    assert len(set(at(picture, 130, 110))) == 1  # inside of the mask nothing is painted over


def test_only_what_the_claims_rest_on_is_drawn(tmp_path):
    case = opened()
    _, _, picture = write(tmp_path, case, Report(question="q", claims=(claim(evidence=cited(case, "E3")),)))
    colours = np.asarray(picture.convert("RGB"))
    assert (colours == (0xF0, 0xE4, 0x42)).all(-1).any()
    assert not (colours == (0xCC, 0x79, 0xA7)).all(-1).any()


def test_empty_mask_no_evidence_and_extreme_shapes(tmp_path):
    blobs = MemoryBlobStore()
    study = phantom_study(blobs)
    case = Case(study, blobs)
    write(tmp_path / "none", case, Report(question="q"))
    empty = Mask(tool="t", image=study.images[0].blob, blob=case.put_mask(np.zeros((300, 384), bool)), box=None, area_px=0)
    case.evidence.add(empty)
    write(tmp_path / "empty", case, Report(question="q", claims=(claim(evidence=(empty.id,)),)))
    from citrus_agent.app.picture import Picture, store_picture

    for shape in ((1, 1), (2, 3000), (3000, 2), (2500, 2500)):
        image = store_picture(Picture(display=np.full(shape, 99, np.uint8)), blobs)
        wide = Case(study.model_copy(update={"images": (image,)}), blobs)
        _, _, picture = write(tmp_path / str(shape), wide, Report(question="q"))
        assert 480 <= picture.width <= 1600
        assert picture.height <= 1800


def test_images_with_evidence_stand_under_each_other(tmp_path):
    case = opened()
    from citrus_agent.app.picture import Picture, store_picture

    second = store_picture(Picture(display=np.full((300, 384), 60, np.uint8)), case.blobs)
    case.study = case.study.model_copy(update={"images": (case.study.images[0], second)})
    one = write(tmp_path / "a", case, Report(question="q"))[2].height
    case.evidence.add(Region(tool="t", image=second.blob, box=(10, 10, 50, 60), label="lesion", score=0.5))
    assert write(tmp_path / "b", case, Report(question="q"))[2].height > one + 703


def test_a_missing_blob_is_an_error_and_leaves_no_overlay(tmp_path):
    case = opened()
    case.blobs = MemoryBlobStore()
    with pytest.raises(TraceError):
        write(tmp_path, case, Report(question="q"))
    assert not (tmp_path / "overlay.png").exists()


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    target = tmp_path / "report.md"
    write_atomic(target, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("citrus_agent.core.blobs.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_the_colours_are_of_the_palette_for_every_eye():
    """Okabe and Ito's eight; no two marks share one."""
    palette = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    colours = list(overlay._COLOURS.values())
    assert set(colours) <= palette
    assert len(set(colours)) == len(colours)
