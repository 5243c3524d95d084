import copy
import dataclasses
import inspect
import pickle

import pytest

from pyg_hag.quantization import DegreeQuantConfig


def test_is_frozen_and_has_the_papers_defaults():
    config = DegreeQuantConfig()
    assert (config.bits, config.protect, config.percentile) == (8, True, None)
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
        ("protect", 0.1, TypeError, "'protect' must be a bool"),
        ("p_min", 0.1, TypeError, "'p_min' is an argument of 'DegreeQuantTransform'"),
        ("p_max", 0.0, TypeError, "or use 'protect=False' to train without"),
        ("p", 0.1, TypeError, "unexpected keyword argument 'p'"),
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


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
@pytest.mark.parametrize(
    ("field", "value", "applies_to"),
    [
        ("percentile", 1.0, "percentile"),
        ("max_samples", 10, "percentile"),
        ("max_samples", None, "percentile"),
        ("momentum", 0.1, "ema"),
    ],
)
def test_options_that_do_not_apply(ranges, field, value, applies_to):
    options = {"ranges": ranges, field: value}
    if ranges == applies_to:
        assert getattr(DegreeQuantConfig(**options), field) == value
        return
    message = f"'{field}' only applies to ranges='{applies_to}'"
    with pytest.raises(ValueError, match=message):
        DegreeQuantConfig(**options)


def test_copies_and_signature():
    config = DegreeQuantConfig(bits=4, protect=False)
    assert dataclasses.replace(config, protect=True) == DegreeQuantConfig(bits=4)
    assert pickle.loads(pickle.dumps(config)) == copy.copy(config) == config
    with pytest.raises(TypeError, match="'p_max' is an argument of 'DegreeQuantTra"):
        dataclasses.replace(config, p_max=0.1)
    fields = [field.name for field in dataclasses.fields(DegreeQuantConfig)]
    assert [*inspect.signature(DegreeQuantConfig).parameters] == fields
