import numpy as np
import pytest

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.study import Spacing
from citrus_agent.tools.geometry import Pitch, measure
from citrus_agent.tools.measure_lesion import MeasureLesion


def measured(kit, mask, probability=None, spacing=None, **study):
    case = kit.case(np.zeros(mask.shape, np.uint8), spacing=spacing, **study)
    handle = kit.add_mask(case, mask, probability)
    items = kit.call(MeasureLesion(), case, mask=handle)
    assert all(item.derived_from == (case.evidence.resolve(handle).id,) for item in items)
    return {item.quantity: item for item in items}


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133])
@pytest.mark.parametrize("axes", [(40, 25), (30.4, 30.4), (11.3, 6.2)])
def test_ellipse_within_a_pixel(kit, axes, degrees):
    items = measured(kit, kit.ellipse(axes=axes, degrees=degrees))
    longest, across, area = items["longest_diameter"], items["perpendicular_diameter"], items["area"]
    assert longest.value == pytest.approx(2 * axes[0], abs=1)
    assert across.value == pytest.approx(2 * axes[1], abs=1)
    assert area.value == pytest.approx(np.pi * axes[0] * axes[1], rel=0.03)
    assert longest.low <= 2 * axes[0] <= longest.high
    assert across.low <= 2 * axes[1] <= across.high
    assert area.low <= np.pi * axes[0] * axes[1] <= area.high
    assert (longest.unit, area.unit) == ("{pixel}", "{pixel2}")
    assert "spacing is unknown" in longest.formula
    assert "no header" in longest.uncertainty


def test_longest_diameter_is_unbiased(kit):
    random = np.random.default_rng(3)
    errors = []
    for _ in range(60):
        a, b = np.sort(random.uniform(8, 60, 2))[::-1]
        mask = kit.ellipse((160, 160), tuple(random.uniform(78, 81, 2)), (a, b), random.uniform(0, 180))
        errors.append(measure(mask, Pitch()).longest.length - 2 * a)
    assert abs(np.mean(errors)) < 0.2
    assert np.max(np.abs(errors)) < 1


def test_end_points_lie_in_source_pixels_at_right_angles(kit):
    items = measured(kit, kit.ellipse(degrees=30))
    (a, b), (c, d) = (np.array(items[name].points) for name in ("longest_diameter", "perpendicular_diameter"))
    assert np.hypot(*(b - a)) == pytest.approx(items["longest_diameter"].value)
    assert abs(np.dot(b - a, d - c)) < 1e-6 * np.hypot(*(b - a)) * np.hypot(*(d - c))
    turn = np.degrees(np.arctan2(*(b - a)[::-1])) % 180
    assert turn == pytest.approx(30, abs=3)
    assert (a + b) / 2 == pytest.approx([98.3, 81.7], abs=1.5)


def test_unequal_spacing_is_measured_in_mm(kit):
    # A disc of radius 10 mm: 20 px across, 50 px down.
    mask = kit.ellipse(axes=(20, 50))
    items = measured(kit, mask, spacing=Spacing(row_mm=0.2, column_mm=0.5, source="PixelSpacing"))
    assert items["longest_diameter"].value == pytest.approx(20, abs=0.5)
    assert items["perpendicular_diameter"].value == pytest.approx(20, abs=0.5)
    assert items["area"].value == pytest.approx(np.pi * 100, rel=0.02)
    assert items["taller_than_wide_ratio"].value == pytest.approx(1, abs=0.05)
    assert {item.unit for item in items.values()} == {"mm", "mm2", "1"}
    assert "spacing" not in items["area"].uncertainty


def test_longest_diameter_lies_along_the_axis_that_is_longest_in_mm(kit):
    mask = kit.ellipse(axes=(60, 30))  # in px wider than tall, in mm 12 x 30
    items = measured(kit, mask, spacing=Spacing(row_mm=0.5, column_mm=0.1, source="PixelSpacing"))
    longest = items["longest_diameter"]
    assert longest.value == pytest.approx(30, abs=0.5)
    (x1, y1), (x2, y2) = longest.points
    assert abs(y2 - y1) == pytest.approx(60, abs=1)
    assert abs(x2 - x1) * 0.1 < 3
    assert items["taller_than_wide_ratio"].value == pytest.approx(2.5, rel=0.03)


def test_taller_than_wide_uses_upright_extents(kit):
    flat, tall = measured(kit, kit.ellipse(axes=(40, 20))), measured(kit, kit.ellipse(axes=(40, 20), degrees=90))
    assert flat["taller_than_wide_ratio"].value == pytest.approx(0.5, abs=0.02)
    assert tall["taller_than_wide_ratio"].value == pytest.approx(2, abs=0.06)
    assert flat["taller_than_wide_ratio"].low < 0.5 < flat["taller_than_wide_ratio"].high


def test_bars_follow_the_probability_map(kit):
    rows, columns = np.indices((160, 200))
    distance = np.hypot(columns - 98.3, rows - 81.7)
    widths = []
    for edge in (1.0, 4.0):
        probability = 1 / (1 + np.exp(np.clip((distance - 30) / edge, -30, 30)))
        item = measured(kit, probability >= 0.5, probability)["longest_diameter"]
        # The outline at 0.25 and 0.75 lies ln(3) edges outside and inside of radius 30.
        assert item.high == pytest.approx(60 + 2 * np.log(3) * edge + 0.5, abs=1)
        assert item.low == pytest.approx(60 - 2 * np.log(3) * edge - 0.5, abs=1)
        assert item.low <= 60 <= item.high
        widths.append(item.high - item.low)
    assert widths[1] > widths[0]


def test_a_doubtful_mask_may_be_nothing(kit):
    mask = kit.ellipse()
    items = measured(kit, mask, np.where(mask, 0.6, 0.0))
    assert items["longest_diameter"].low == items["area"].low == 0
    assert "reaches probability 0.75" in items["area"].uncertainty


def test_only_the_largest_part_and_its_own_halo_count(kit):
    mask = kit.ellipse(axes=(30, 20)) | kit.ellipse(centre=(20, 20), axes=(8, 8))
    halo = np.where(mask, 0.9, 0.0) + np.where(kit.ellipse(centre=(20, 20), axes=(18, 18)) & ~mask, 0.4, 0.0)
    item = measured(kit, mask, halo)["longest_diameter"]
    assert item.value == pytest.approx(60, abs=1)
    assert item.high < 62


def test_edge_of_the_image_is_said_and_one_pixel_can_be_measured(kit):
    mask = np.zeros((20, 30), bool)
    mask[0, 5] = True
    items = measured(kit, mask)
    assert 0 < items["longest_diameter"].value <= 1
    assert items["area"].value == 1
    assert "image's edge" in items["area"].uncertainty
    whole = measured(kit, np.ones((20, 30), bool))
    assert whole["area"].value == 600
    assert whole["taller_than_wide_ratio"].value == pytest.approx(20 / 30)


def test_empty_mask_and_wrong_handle(kit):
    case = kit.case(np.zeros((160, 200), np.uint8))
    empty, region = kit.add_mask(case, np.zeros((160, 200), bool)), kit.add_region(case)
    with pytest.raises(ToolArgumentError, match="empty mask"):
        kit.call(MeasureLesion(), case, mask=empty)
    with pytest.raises(ToolArgumentError, match="is a region, not a mask; there is: E1"):
        kit.call(MeasureLesion(), case, mask=region)


def test_any_modality_and_marks_come_from_the_mask(kit):
    case = kit.case(np.zeros((160, 200), np.uint8), modality="MR", body_part="brain")
    good, doubtful = kit.add_mask(case, kit.ellipse()), kit.add_mask(case, kit.ellipse(), validated_scope=False, simulated=True)
    assert kit.call(MeasureLesion(), case, mask=good)[0].validated_scope
    marked = kit.call(MeasureLesion(), case, mask=doubtful)[0]
    assert marked.simulated
    assert not marked.validated_scope
