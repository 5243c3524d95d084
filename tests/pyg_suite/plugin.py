"""The plugin: `pytest -p pyg_suite.plugin`, with this folder's parent on the path."""

import csv
from collections import Counter

import pytest
import torch
from _pytest.runner import runtestprotocol
from torch import nn
from torch_geometric.nn import MessagePassing

from pyg_suite.copies import hooked, is_compiled
from pyg_suite.graphs import bind, has_graph
from pyg_suite.repeat import Call, Run

PACKAGES = ("torch_geometric.nn.",)
_call = nn.Module.__call__


class Suite:
    """What is counted."""

    def __init__(self):
        self.runs = Counter()
        """Number of equal runs, by :class:`Run`."""
        self.left_out = Counter()
        """Calls that are not repeated, by why."""
        self.own_failures = []
        """Tests that fail without the plugin as well."""
        self.tests = set()
        """The tests in which a layer is called."""
        self.test = None
        self.faults = []
        self.is_inside = False
        self.is_off = False

    def call(self, module, args, kwargs):
        """`Module.__call__`, with what is a layer repeated on HAGs."""
        if self.test is None or self.is_inside or self.is_off or not is_layer(module):
            return _call(module, *args, **kwargs)
        bound = bind(module, args, kwargs)
        if bound is None or not has_graph(bound):
            return _call(module, *args, **kwargs)
        self.is_inside = True
        try:
            call, reason = None, self._reason(module)
            if reason is None:
                try:
                    call = Call(module, args, kwargs)
                except Exception as error:
                    reason = f"cannot be copied: {type(error).__name__}: {error}"[:200]
            output = _call(module, *args, **kwargs)
            runs = reason if call is None else call.repeat()
        finally:
            self.is_inside = False
        if isinstance(runs, str):
            self.left_out[type(module).__name__, runs] += 1
        else:
            self._count(runs)
        return output

    @staticmethod
    def _reason(module):
        if is_compiled(module):
            return "TorchScript"
        if torch.jit.is_tracing():
            return "traced"
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return "in a transform of torch.func"
        if hooked(module):
            return "hooks see its messages"
        return None

    def _count(self, runs):
        self.tests.add(self.test)
        for run in runs:
            self.runs[run] += 1
            if run.outcome in ("differs", "error"):
                self.faults.append(run)

    def totals(self):
        """The number of runs of each outcome."""
        found = Counter()
        for run, number in self.runs.items():
            found[run.outcome] += number
        return found


SUITE = Suite()


def is_layer(module):
    """Whether a module is one of PyG's, or made like them."""
    return isinstance(module, MessagePassing) or type(module).__module__.startswith(
        PACKAGES
    )


def _module_call(self, *args, **kwargs):
    if torch.compiler.is_compiling():
        return self._wrapped_call_impl(*args, **kwargs)
    return SUITE.call(self, args, kwargs)


def pytest_addoption(parser):
    parser.addoption(
        "--pyg-suite-report", metavar="PATH", help="where to write the runs as CSV"
    )


def pytest_configure(config):
    nn.Module.__call__ = _module_call


def pytest_unconfigure(config):
    nn.Module.__call__ = _call


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    SUITE.faults = []
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports) and not SUITE.faults:
        again = _without_repeats(item, nextitem)
        if any(report.failed for report in again):  # it is not ours
            SUITE.own_failures.append(item.nodeid)
            for report in reports:
                if report.failed:
                    report.outcome = "skipped"
                    report.longrepr = (*item.location[:2], "fails without HAGs as well")
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _without_repeats(item, nextitem):
    SUITE.is_off = True
    try:
        item._initrequest()
        return runtestprotocol(item, nextitem=nextitem, log=False)
    finally:
        SUITE.is_off = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    SUITE.test, SUITE.faults = item.nodeid, []
    try:
        result = yield
    finally:
        SUITE.test = None
    if SUITE.faults:
        listed = "\n".join(
            f"{run.layer} on a HAG ({run.hag}): {run.outcome}: {run.reason}"
            for run in dict.fromkeys(SUITE.faults)
        )
        pytest.fail(f"{len(SUITE.faults)} runs on HAGs\n{listed}", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter, config):
    write = terminalreporter.write_line
    terminalreporter.section("PyG's layers on HAGs")
    totals = SUITE.totals()
    write(
        f"{len(SUITE.tests)} tests, {len({run.layer for run in SUITE.runs})} classes "
        f"of layers, {sum(totals.values())} runs: {totals['equal']} equal, "
        f"{totals['refused']} refused, {totals['differs']} differ, {totals['error']} "
        f"other errors"
    )
    reasons = Counter()
    for run, number in SUITE.runs.items():
        if run.reason:
            reasons[run.outcome, run.reason] += number
    for (_, reason), number in SUITE.left_out.items():
        reasons["calls left out", reason] += number
    for outcome in ("equal", "refused", "calls left out"):
        for (title, reason), number in reasons.most_common():
            if title == outcome:
                write(f"  {title}: {number:5} {reason}")
    for name in SUITE.own_failures:
        write(f"  fails without HAGs as well: {name}")
    path = config.getoption("--pyg-suite-report")
    if path:
        write_report(path)


def write_report(path):
    """Writes the number of runs by layer, HAG, outcome and reason."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Run._fields, "runs"])
        for run, number in sorted(SUITE.runs.items()):
            writer.writerow([*run, number])
        for (layer, reason), number in sorted(SUITE.left_out.items()):
            writer.writerow([layer, "", "left out", reason, number])
