"""The options of the search: as keywords and as an object, and which go together."""

import copy
import inspect
import pickle
import sys
from dataclasses import fields, replace

import pytest
import torch
from graphs import clique, edge_index_of
from torch_geometric.data import Data

from pyg_hag import CostModel, HAGTransform, build_hag
from pyg_hag.cost import DEFAULT_COST
from pyg_hag.search import SearchOptions
from pyg_hag.search.options import IGNORED_BY

EDGES = edge_index_of(clique(range(12)))
FIELDS = fields(SearchOptions)
NAMES = [field.name for field in FIELDS]

OTHER_VALUES = {
    "objective": "aggregations",
    "method": "greedy",
    "num_features": 7,
    "capacity": 3,
    "min_redundancy": 3,
    "cost_model": replace(DEFAULT_COST, call=0.0),
    "time_limit": 60.0,
    "memory_limit": 1 << 40,
    "progress": True,
    "order": "sequential",
    "neighbor_order": "shared",
    "subtract": True,
    "num_passes": 10**9,
}
"""A value of each option that is not its default."""

SETTINGS = {
    "default": {},
    "aggregations": {"objective": "aggregations"},
    "greedy": {"method": "greedy"},
    "sequential": {"order": "sequential"},
}

APPLIES = {
    "objective": {"default", "greedy"},
    "method": {"default", "aggregations"},
    "num_features": {"default", "greedy"},
    "capacity": set(SETTINGS),
    "min_redundancy": set(SETTINGS),
    "cost_model": {"default", "greedy"},
    "time_limit": {"default", "aggregations", "greedy"},
    "memory_limit": {"default", "aggregations", "greedy"},
    "progress": {"default", "aggregations", "greedy"},
    "order": {"default"},
    "neighbor_order": {"sequential"},
    "subtract": {"default", "aggregations"},
    "num_passes": {"default", "greedy"},
}
"""The settings in which each option has an effect."""


def transform(**arguments):
    return HAGTransform(**arguments)(Data(edge_index=EDGES, num_nodes=12)).hag


def build(**arguments):
    return build_hag(EDGES, 12, **arguments)


callers = pytest.mark.parametrize("call", [build, transform])


# Which options go together ####################################################


def test_every_option_has_an_entry():
    assert set(OTHER_VALUES) == set(APPLIES) == set(NAMES)
    defaults = vars(SearchOptions())
    assert all(defaults[name] != value for name, value in OTHER_VALUES.items())
    assert {n for names in IGNORED_BY.values() for n in names} <= set(NAMES)


CASES = [(n, s) for n in NAMES for s, others in SETTINGS.items() if n not in others]


@callers
@pytest.mark.parametrize(("name", "setting"), CASES)
def test_an_option_applies_or_raises(name, setting, call):
    value, others = OTHER_VALUES[name], SETTINGS[setting]
    if setting in APPLIES[name]:
        call(**others, **{name: value}).validate(EDGES)
        return
    ignored, cause = (name, value), next(iter(others.items()), ("order", "set"))
    if name == "order":
        ignored, cause = cause, ignored
    elif name == "neighbor_order":
        cause = "order", "set"
    with pytest.raises(ValueError, match="has no effect") as error:
        call(**others, **{name: value})
    assert str(error.value).startswith(
        f"{ignored[0]!r} has no effect with {cause[0]}={cause[1]!r} "
        f"(got {ignored[1]!r}): leave it out, or use {cause[0]}="
    )


@pytest.mark.parametrize(("name", "value"), list(IGNORED_BY))
def test_defaults_may_be_spelled_out(name, value):
    options = {field.name: field.default for field in FIELDS}
    assert SearchOptions(**{**options, name: value}) == SearchOptions(**{name: value})


def test_no_capacity_goes_with_limits():
    limits = {"time_limit": 1, "memory_limit": 1, "progress": True, "num_passes": 0}
    assert build(capacity=0, **limits).num_aggregates == 0


# As an object and as keywords #################################################


@callers
def test_object_and_keywords_are_the_same(call):
    for given in ({}, {"objective": "aggregations"}, {"order": "sequential"}):
        assert call(options=SearchOptions(**given)) == call(**given)
    assert call(options=None) == call()


@callers
def test_object_and_keywords_exclude_each_other(call):
    with pytest.raises(ValueError, match=r"'options'.*\(got 'capacity'\).*replace"):
        call(options=SearchOptions(), capacity=3)


@callers
def test_options_must_be_an_object(call):
    with pytest.raises(TypeError, match="'options' must be a SearchOptions"):
        call(options={"capacity": 3})


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("capcity", "'capacity'"),
        ("num_feature", "'num_features'"),
        ("min_redundance", "'min_redundancy'"),
        ("xyzzy", "'objective' or 'method'"),
    ],
)
@callers
def test_unknown_keywords(name, close, call):
    place = "build_hag" if call is build else r"HAGTransform\.__init__"
    match = rf"{place}\(\) got an unexpected keyword argument '{name}'.*{close}"
    with pytest.raises(TypeError, match=match):
        call(**{name: 1})


def test_names_of_other_parameters_are_close_too():
    with pytest.raises(TypeError, match="did you mean 'add_self_loops'"):
        HAGTransform(add_selfloops=True)
    with pytest.raises(TypeError, match="did you mean 'num_nodes'"):
        build_hag(EDGES, num_node=12)


@pytest.mark.parametrize(
    ("function", "positional"),
    [
        (build_hag, ["edge_index", "num_nodes", "size"]),
        (HAGTransform, ["add_self_loops", "weights"]),
    ],
)
def test_signature_lists_every_option(function, positional):
    parameters = inspect.signature(function).parameters
    assert list(parameters)[: len(positional)] == positional
    assert list(parameters)[-len(NAMES) :] == NAMES
    for field in FIELDS:
        parameter = parameters[field.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default == field.default
        assert parameter.annotation == field.type
    assert "options" in parameters and "search_options" not in parameters


def test_every_option_is_documented():
    text = inspect.cleandoc(SearchOptions.__doc__)
    for name in NAMES:
        assert f"\n    {name} (" in text


def test_options_cannot_be_changed():
    with pytest.raises(AttributeError):
        SearchOptions().capacity = 3
    assert hash(SearchOptions()) == hash(SearchOptions())
    assert SearchOptions(cost_model=DEFAULT_COST).effective_cost_model == DEFAULT_COST
    assert isinstance(SearchOptions().effective_cost_model, CostModel)


def test_copies_and_pickles():
    first = HAGTransform(True, "plain", objective="aggregations", capacity=3)
    for other in (copy.copy(first), copy.deepcopy(first), _through_pickle(first)):
        assert repr(other) == repr(first)
        assert other.options == first.options


def test_old_pickles_of_transforms(monkeypatch):
    """Version 0.1.0 had the options in another module under another name."""
    old = pickle.dumps(HAGTransform(capacity=3), protocol=0)
    new_name = b"pyg_hag.search.options\nSearchOptions"
    assert new_name in old
    old = old.replace(new_name, b"pyg_hag.search._options\nOptions")
    monkeypatch.delitem(sys.modules, "pyg_hag.search._options", raising=False)
    loaded = pickle.loads(old)
    assert loaded.options == SearchOptions(capacity=3)
    data = Data(torch.ones(12, 1), EDGES)
    assert loaded(data).hag == HAGTransform(capacity=3)(data).hag


def _through_pickle(thing):
    return pickle.loads(pickle.dumps(thing))
