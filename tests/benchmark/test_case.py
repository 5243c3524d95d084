"""Cases: what is checked, in which order contenders run, and the rows they give."""

import time

import pytest
import torch

from pyg_hag.benchmark import case
from pyg_hag.benchmark._timing import Times, measure, trained
from pyg_hag.benchmark.case import Case, difference

LABELS = {"graph": "clique", "width": 8}
ONES = torch.ones(3)
WRONG = {
    "value": torch.tensor([1.0, 1.0, 1.1]),
    "shape": torch.ones(4),
    "not a number": torch.full((3,), float("nan")),
    "not a list": [ONES, ONES],
    "infinite": torch.tensor([1.0, 1.0, float("inf")]),
}


def of(**results):
    """A case whose contenders return these results; `a` is the baseline."""
    return Case(LABELS, {k: lambda v=v: v for k, v in results.items()}, "a")


@pytest.mark.parametrize("wrong", WRONG)
def test_contenders_must_compute_the_same(monkeypatch, wrong):
    monkeypatch.setattr(case, "measure", None)  # nothing is timed then
    message = "clique, F = 8: 'c' does not compute what 'a' does"
    with pytest.raises(ValueError, match=message):
        next(case.run([of(a=ONES, b=ONES, c=WRONG[wrong])]))


def test_what_is_as_good_as_equal():
    of(a=ONES, b=ONES + 1e-6, c=ONES.double()).check()
    of(a=[ONES, 2], b=(ONES, 2.0)).check()
    of(a=torch.ones(0), b=torch.ones(0)).check()
    of(a=[ONES, 1e-9 * ONES], b=[ONES, 5e-9 * ONES]).check()  # rounding
    assert difference(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0])) == 0.25
    for second in (-ONES, WRONG["not a number"]):
        with pytest.raises(ValueError, match="'b'"):
            of(a=[ONES, ONES], b=[ONES, second]).check()
    with pytest.raises(ValueError, match="'b'"):
        of(a=[ONES, 1e-3 * ONES], b=[ONES, 2e-3 * ONES]).check()
    with pytest.raises(TypeError, match="must return what it has computed"):
        of(a=ONES, b=None).check()


def test_a_contender_may_have_another_reference_or_none():
    results = {"a": ONES, "b": 2 * ONES, "c": 2 * ONES, "d": 3 * ONES}
    contenders = {name: lambda v=v: v for name, v in results.items()}
    wanted = {"b": None, "c": "b", "d": None}
    Case(LABELS, contenders, "a", wanted).check()
    with pytest.raises(ValueError, match="'d' does not compute what 'b' does"):
        Case(LABELS, contenders, "a", wanted | {"d": "b"}).check()


def test_a_contender_may_be_less_exact():
    calls = {"a": lambda: ONES, "b": lambda: 1.02 * ONES}
    Case(LABELS, calls, "a", tolerance_of={"b": 0.05}).check()
    for tolerances in ({"a": 0.05}, {"b": 0.01}):
        with pytest.raises(ValueError, match="allowed"):
            Case(LABELS, calls, "a", tolerance_of=tolerances).check()


@pytest.mark.parametrize("gradients", [True, False])
def test_contenders_run_with_gradients_if_they_need_them(gradients):
    seen = []

    def call():
        seen.append(torch.is_grad_enabled())
        return ONES

    item = Case(LABELS, {"a": call, "b": call}, "a", gradients=gradients, rounds=1)
    list(case.run([item]))
    assert {*seen} == {gradients} and torch.is_grad_enabled()


def test_rows():
    item = Case(
        LABELS,
        dict.fromkeys(("slow", "fast", "other")),
        "slow",
        over=("other", "absent"),
        facts={"aggregates": 5},
        facts_of={"fast": {"depth": 2}},
    )
    rows = item.rows(
        {
            "slow": Times((4.0, 6.0, 12.0)),
            "fast": Times((2.0, 2.0, 3.0)),
            "other": Times((1.0, 1.0, 6.0)),
        }
    )
    slow, fast, _ = rows
    assert [row["contender"] for row in rows] == ["slow", "fast", "other"]
    assert {row["baseline"] for row in rows} == {"slow"}
    assert fast["case"] == "clique, F = 8" and fast["graph"] == "clique"
    assert slow["speedup_20"] == slow["speedup_80"] == 1
    # The median of 4/2, 6/2 and 12/3, and not that of 6/2 alone:
    assert fast["speedup_50"] == 3 and fast["over other"] == 0.5
    assert (fast["milliseconds_20"], fast["milliseconds_50"]) == (2000, 2000)
    assert fast["milliseconds_80"] == pytest.approx(2600)
    assert fast["speedup_20"] == pytest.approx(2.4)
    assert fast["speedup_80"] == pytest.approx(3.6)
    assert fast["rounds"] == 3 and fast["aggregates"] == slow["aggregates"] == 5
    assert fast["depth"] == 2 and "depth" not in slow and "over absent" not in fast


def test_the_setup_of_the_next_case_finds_the_rows_of_the_last():
    done = []

    def cases():
        for i in range(2):
            assert len(done) == i
            yield of(a=ONES, b=ONES)

    for rows in case.run(cases(), rounds=2):
        done.append(rows)
        assert [row["rounds"] for row in rows] == [2, 2]


def test_measure_takes_turns():
    calls = []
    times = measure(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=4
    )
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert {*turns} == {"a", "b"} and 4 <= len(turns) <= 8
    assert calls.count("a") > 8 and calls.count("b") > 8  # those that do not count
    assert all(len(t.seconds) == 4 for t in times.values())
    assert Times((5.0,)).median == 5.0


def test_the_budget_ends_the_rounds_after_three():
    call = {"a": lambda: time.sleep(3e-3)}
    assert len(measure(call, rounds=9, budget=0.0)["a"].seconds) == 3


def test_trained_gives_the_gradients_of_one_call():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    unused = torch.ones(2, requires_grad=True)
    for _ in range(2):
        out, gradient = trained(lambda: x**2, [x, unused])
    assert out.tolist() == [1, 4] and gradient.tolist() == [2, 4]
    assert not out.requires_grad
