"""Repeats one call of a layer on HAGs of the same edges."""

import itertools
import random
import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch_geometric import nn

from pyg_hag import to_hag
from pyg_suite.comparison import canonical, difference
from pyg_suite.copies import Inputs, RandomState, map_tensors, module_copy
from pyg_suite.graphs import OPTIONS, bind, with_edges, with_hags
from pyg_suite.refusals import refusal

_SEEDS = itertools.count()
DROPPING = nn.GATConv, nn.GATv2Conv, nn.TransformerConv, nn.HANConv
"""The layers that drop coefficients, and of which other ones are dropped on a HAG."""


class Run(NamedTuple):
    """What became of one call on one HAG."""

    layer: str
    hag: str
    outcome: str
    """`equal`, `refused`, `differs` or `error`."""
    reason: str


class Result(NamedTuple):
    """What a call returned, and its gradients."""

    output: object
    gradients: dict
    buffers: dict


class Call:
    """A call of a layer as it was before it ran.

    Args:
        module: The layer.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """

    def __init__(self, module, args, kwargs):
        self.random = RandomState.now()
        self.module = module_copy(module)
        for layer in self.module.modules():  # fused ones draw other coefficients
            if isinstance(layer, DROPPING):
                layer.dropout = 0.0
        self.args = Inputs((args, kwargs)).value
        self.layer = type(module).__name__

    def repeat(self):
        """Runs it on each HAG; returns a list of runs, or why there are none."""
        after = RandomState.now()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._repeat()
        finally:
            after.restore()
            # PyG names the code of a `Sequential` by such a number: that of a copy must
            # not be that of the next one.
            random.seed(next(_SEEDS))

    def _repeat(self):
        try:
            expected = self._result(None)
        except Exception as error:
            return f"plain PyG fails on a copy: {_text(error)}"
        return [self._run(name, expected) for name in OPTIONS]

    def _run(self, name, expected):
        try:
            got = self._result(OPTIONS[name])
        except Exception as error:
            reason = refusal(error)
            if reason is not None:
                return Run(self.layer, name, "refused", reason)
            return Run(self.layer, name, "error", _text(error))
        text = _differs(got, expected)
        if text is None or self._equal_in_double(OPTIONS[name]):
            return Run(self.layer, name, "equal", "")
        if self._equal_on_edges(got):
            return Run(self.layer, name, "equal", "as on edges, not as on the matrix")
        return Run(self.layer, name, "differs", text)

    def _equal_on_edges(self, got):
        """Whether PyG's results differ between a matrix and its edges.

        So they do for the `std` of EGConv and for gradients of HGTConv.
        """
        try:
            return _differs(got, self._result("edges")) is None
        except Exception:
            return False

    def _equal_in_double(self, options):
        """Whether a difference is one of rounding, which exact numbers do not show."""
        try:
            pair = (self._result(o, torch.float64) for o in (options, None))
            return _differs(*pair) is None
        except Exception:
            return False

    def _result(self, options, dtype=None):
        """The call on HAGs with these options, on `"edges"`, or as it was if None."""
        module = module_copy(self.module)
        if dtype is not None:
            module = module.to(dtype)
        inputs = Inputs(self.args, dtype)
        args, kwargs = inputs.value
        if options == "edges":
            args, kwargs = with_edges(bind(module, args, kwargs))
        elif options is not None:
            args, kwargs = with_hags(module, bind(module, args, kwargs), options)
            module = to_hag(module)
        self.random.restore()
        output = canonical(module(*args, **kwargs))
        # Reversible layers free the memory of their results when they go backward:
        kept = map_tensors(lambda t: t.detach().clone(), output)
        leaves = dict(enumerate(inputs.leaves))
        leaves |= {
            name: parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and not is_lazy(parameter)
        }
        buffers = dict(module.named_buffers())
        return Result(kept, _gradients(output, leaves), buffers)


def _gradients(output, leaves):
    """The gradients of all results, each weighted by random numbers, for leaves."""
    generator = torch.Generator().manual_seed(0)
    total = None
    for tensor in _tensors(output):
        if tensor.requires_grad and tensor.layout == torch.strided:
            weight = torch.rand(
                tensor.shape, dtype=torch.float64, generator=generator
            ).to(tensor)
            part = (tensor * weight).sum()
            total = part if total is None else total + part
    if total is None or not leaves:
        return {}
    found = torch.autograd.grad(
        total, [*leaves.values()], allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))


def _tensors(value):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _tensors(value[key])
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _differs(got, expected):
    for name, a, b in zip(("output", "gradient", "buffer"), got, expected, strict=True):
        text = difference(a, b, name)
        if text is not None:
            return text
    return None


def _text(error):
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]
