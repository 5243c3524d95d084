import dataclasses

import pytest

from pyg_hag.quantization import DegreeQuantConfig


def test_is_frozen_and_has_the_papers_defaults():
    config = DegreeQuantConfig()
    assert (config.bits, config.p_min, config.p_max) == (8, 0.0, 0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.bits = 4


def test_share_that_is_cut_off():
    assert DegreeQuantConfig().cut_off == pytest.approx(0.001)
    assert DegreeQuantConfig(bits=4).cut_off == pytest.approx(0.01)
    assert DegreeQuantConfig(percentile=2.5).cut_off == pytest.approx(0.025)
    assert DegreeQuantConfig(ranges="minmax").cut_off == 0


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("bits", 2, ValueError, "'bits' must be 8 or 4"),
        ("bits", 8.0, TypeError, "'bits' must be an int"),
        ("p_min", -0.1, ValueError, r"'p_min' must be in \[0, 1\] \(got -0.1\)"),
        ("p_min", 0.2, ValueError, r"'p_max' must be at least 'p_min' \(got 0.1 and"),
        ("p_max", 1.5, ValueError, r"'p_max' must be in \[0, 1\]"),
        ("p_max", float("nan"), ValueError, "'p_max' must be in"),
        ("p_max", "all", TypeError, "'p_max' must be a number"),
        ("ranges", "max", ValueError, "'ranges' must be 'minmax' or 'ema' or"),
        ("percentile", 50, ValueError, "'percentile' must be below 50"),
        ("percentile", 51, ValueError, r"'percentile' must be in \[0, 50\]"),
        ("momentum", 0, ValueError, "'momentum' must be above 0"),
        ("momentum", 2, ValueError, "'momentum' must be in"),
        ("max_samples", 0, ValueError, "'max_samples' must be at least 1"),
        ("per_channel", 1, TypeError, "'per_channel' must be a bool"),
        ("gradient", "none", ValueError, "'gradient' must be 'straight_through' or"),
        ("seed", -1, ValueError, "'seed' must be at least 0"),
    ],
)
def test_errors_name_the_field(field, value, error, message):
    with pytest.raises(error, match=message):
        DegreeQuantConfig(**{field: value})


def test_percentiles_belong_to_their_ranges():
    with pytest.raises(ValueError, match="'percentile' is for ranges='percentile'"):
        DegreeQuantConfig(ranges="ema", percentile=1.0)
