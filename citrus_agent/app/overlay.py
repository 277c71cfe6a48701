"""The image with what the claims rest on drawn over it: mask contour, box, measured lines; all words stand under it. Knows no files.

Coordinates are pixels of the source image, (0, 0) the centre of the top-left pixel. Colours are of the palette of Okabe and Ito, which
people with any colour vision can tell apart; line styles differ too.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFilter, ImageFont
from PIL.PngImagePlugin import PngInfo

from citrus_agent.core.case import Case
from citrus_agent.core.evidence import Evidence, Mask, Measurement, Region
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import evidence_line, words
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.report import Report
from citrus_agent.core.study import Study

_LONGEST_SMALL, _LONGEST_LARGE, _NARROWEST = 900, 1600, 480
_COLOURS = {"region": "#56B4E9", "mask": "#E69F00", "measurement": "#F0E442", "other_measurement": "#CC79A7"}
_GROUND, _TEXT, _HALO = "#000000", "#FFFFFF", "#000000"
_WARNING = "#B00000"
_FONT, _LINE = 16, 22


@dataclass(frozen=True)
class Mark:
    """One piece of evidence on the picture and its line in the legend."""

    item: Region | Mask | Measurement
    handle: str
    colour: str


def overlay_png(report: Report, graph: EvidenceGraph, study: Study, blobs: BlobStore, *, simulated: bool) -> bytes:
    """PNG bytes: a panel for each image with something to draw (the first image where there is none), legend and notice under it."""
    case = Case(study=study, blobs=blobs, evidence=graph)
    marks = _marks(report, graph)
    shown = [index for index, image in enumerate(study.images) if any(mark.item.image == image.blob for mark in marks)] or [0]
    panels = [_panel(case, index, marks) for index in shown]
    width = max(panel.width for panel in panels)
    notice = _notice(report, width, simulated)
    sheet = PILImage.new("RGB", (width, sum(panel.height for panel in panels) + notice.height), _GROUND)
    top = 0
    for part in (*panels, notice):
        sheet.paste(part, (0, top))
        top += part.height
    words_inside = PngInfo()
    words_inside.add_text("Comment", ("SIMULATED. " if simulated else "") + report.disclaimer)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", pnginfo=words_inside)
    return buffer.getvalue()


def _marks(report: Report, graph: EvidenceGraph) -> list[Mark]:
    """What the claims rest on; all there is where no claim rests on anything."""
    cited = [reference for claim in report.claims for reference in claim.evidence if reference in graph]
    marks: list[Mark] = []
    for item in graph.rests_on(cited) if cited else list(graph):
        if isinstance(item, Region | Mask) or (isinstance(item, Measurement) and len(item.points) == 2):
            marks.append(Mark(item, graph.handle(item.id), _colour(item)))
    return marks


def _colour(item: Evidence) -> str:
    if isinstance(item, Measurement) and item.quantity != "longest_diameter":
        return _COLOURS["other_measurement"]
    return _COLOURS[item.kind]


def _panel(case: Case, index: int, marks: Sequence[Mark]) -> PILImage.Image:
    reference = case.study.images[index]
    longest = max(reference.width, reference.height)
    scale = min(max(1.0, _LONGEST_SMALL / longest), _LONGEST_LARGE / longest)
    size = max(1, round(reference.width * scale)), max(1, round(reference.height * scale))
    image = PILImage.fromarray(case.image(index)).convert("RGB").resize(size, PILImage.Resampling.BICUBIC)
    own = [mark for mark in marks if mark.item.image == reference.blob]
    # Lines lie over contours, contours over boxes.
    for mark in sorted(own, key=lambda mark: ("region", "mask", "measurement").index(mark.item.kind)):
        _draw(image, mark, case, scale)
    title = (
        f"Image {index + 1} of {len(case.study.images)}, {reference.width} x {reference.height} px" if len(case.study.images) > 1 else None
    )
    legend = _legend(own, max(size[0], _NARROWEST), title)
    panel = PILImage.new("RGB", (max(size[0], _NARROWEST), size[1] + legend.height), _GROUND)
    panel.paste(image, (0, 0))
    panel.paste(legend, (0, size[1]))
    return panel


def _draw(image: PILImage.Image, mark: Mark, case: Case, scale: float) -> None:
    draw = ImageDraw.Draw(image)
    if isinstance(mark.item, Mask):
        _contour(image, case.mask(mark.item), mark.colour)
        anchor = None if mark.item.box is None else (mark.item.box[2], mark.item.box[3])
    elif isinstance(mark.item, Region):
        x1, y1, x2, y2 = mark.item.box
        corners = [_at(point, scale) for point in ((x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1))]
        for start, end in pairwise(corners):
            _dashed(draw, start, end, mark.colour)
        anchor = (x1, y1)
    else:
        start, end = (_at(point, scale) for point in mark.item.points)
        draw.line([start, end], fill=_HALO, width=4)
        draw.line([start, end], fill=mark.colour, width=2)
        for point in (start, end):
            _cross(draw, point, mark.colour)
        anchor = mark.item.points[1]
    if anchor is not None:
        _label(draw, _at(anchor, scale), mark, image.size)


def _at(point: tuple[float, float], scale: float) -> tuple[float, float]:
    """Source pixel to picture pixel; pixel centres are whole numbers in both."""
    return (point[0] + 0.5) * scale - 0.5, (point[1] + 0.5) * scale - 0.5


def _contour(image: PILImage.Image, mask: NDArray[np.bool_], colour: str) -> None:
    """A line just outside of the mask, so that it hides no pixel of it."""
    solid = PILImage.fromarray(mask).convert("L").resize(image.size, PILImage.Resampling.BILINEAR).point(lambda v: 255 if v > 127 else 0)
    for grow, fill in ((7, _HALO), (5, colour)):
        ring = solid.filter(ImageFilter.MaxFilter(grow))
        ring.paste(0, mask=solid)
        image.paste(fill, mask=ring)


def _dashed(draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    draw.line([start, end], fill=_HALO, width=4)
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    steps = max(1, round(length / 14))
    for step in range(steps):
        ends = [tuple(a + (b - a) * (step + share) / steps for a, b in zip(start, end, strict=True)) for share in (0.0, 0.6)]
        draw.line(ends, fill=colour, width=2)


def _cross(draw: ImageDraw.ImageDraw, point: tuple[float, float], colour: str) -> None:
    x, y = point
    for fill, reach, width in ((_HALO, 8, 5), (colour, 7, 3)):
        draw.line([(x - reach, y), (x + reach, y)], fill=fill, width=width)
        draw.line([(x, y - reach), (x, y + reach)], fill=fill, width=width)


def _label(draw: ImageDraw.ImageDraw, at: tuple[float, float], mark: Mark, size: tuple[int, int]) -> None:
    """The handle only: whatever needs words stands in the legend, where it hides nothing."""
    font = ImageFont.load_default(_FONT)
    wide = draw.textlength(mark.handle, font=font)
    shift = -_LINE if isinstance(mark.item, Region) else 4
    x, y = min(max(2, at[0] + 4), size[0] - wide - 4), min(max(2, at[1] + shift), size[1] - _LINE)
    draw.text((x, y), mark.handle, font=font, fill=mark.colour, stroke_width=2, stroke_fill=_HALO)


def _legend(marks: Sequence[Mark], width: int, title: str | None) -> PILImage.Image:
    rows: list[tuple[str, Mark | None]] = [(title, None)] if title else []
    for mark in marks:
        text = words(evidence_line(mark.item, mark.handle))
        lines = _wrap(text, width - 60)
        rows += [(line, mark if number == 0 else None) for number, line in enumerate(lines)]
    strip = PILImage.new("RGB", (width, _LINE * len(rows) + (12 if rows else 0)), _GROUND)
    draw = ImageDraw.Draw(strip)
    for number, (line, sampled) in enumerate(rows):
        y = 6 + number * _LINE
        if sampled is not None:
            _sample(draw, y + _LINE // 2, sampled)
        draw.text((52, y), line, font=ImageFont.load_default(_FONT), fill=_TEXT)
    return strip


def _sample(draw: ImageDraw.ImageDraw, y: int, mark: Mark) -> None:
    if isinstance(mark.item, Region):
        _dashed(draw, (8, y), (42, y), mark.colour)
    else:
        draw.line([(8, y), (42, y)], fill=mark.colour, width=2)
    if isinstance(mark.item, Measurement):
        _cross(draw, (8, y), mark.colour)
        _cross(draw, (42, y), mark.colour)


def _notice(report: Report, width: int, simulated: bool) -> PILImage.Image:
    """What every reader must see, black on white under the picture."""
    answer = f"No answer: {words(report.abstention.reason)}." if report.abstention else report.category or "No category."
    lines = _wrap(answer, width - 16) + _wrap(report.disclaimer, width - 16)
    head = 34 if simulated else 0
    strip = PILImage.new("RGB", (width, head + _LINE * len(lines) + 14), _TEXT)
    draw = ImageDraw.Draw(strip)
    if simulated:
        draw.rectangle([0, 0, width, head], fill=_WARNING)
        draw.text((8, 6), "SIMULATED: not about a person", font=ImageFont.load_default(_FONT + 3), fill=_TEXT)
    for number, line in enumerate(lines):
        draw.text((8, head + 7 + number * _LINE), line, font=ImageFont.load_default(_FONT), fill=_GROUND)
    return strip


def _wrap(text: str, width: int) -> list[str]:
    """Lines that fit into ``width`` picture pixels at the font's mean letter width."""
    plain = text.replace("²", "^2").encode("ascii", "replace").decode()  # the built-in font holds little more
    return textwrap.wrap(plain, max(16, int(width / (_FONT * 0.53)))) or [""]
