"""Copies of modules and arguments that share no state with those of a test."""

import copy
import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.typing import SparseTensor

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
MESSAGE_HOOKS = tuple(
    f"_{method}_forward_{kind}hooks"
    for method in (
        *("propagate", "message", "aggregate", "message_and_aggregate", "edge_update"),
    )
    for kind in ("", "pre_")
)


class RandomState(NamedTuple):
    """The state of every generator that a layer may use."""

    torch: Tensor
    numpy: tuple
    python: tuple

    @classmethod
    def now(cls):
        """The state as it is now."""
        return cls(torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002

    def restore(self):
        """Sets this state."""
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)


def module_copy(module):
    """A copy of a module without the hooks that a test has registered."""
    memo = {}
    for part in module.modules():
        for value in part.__dict__.values():
            _copy_results(value, memo)
    made = copy.deepcopy(module, memo)
    for part in made.modules():
        for name in HOOKS:
            hooks = getattr(part, name)
            for key, hook in [*hooks.items()]:
                if not hasattr(hook, "__self__"):  # those of lazy layers stay
                    del hooks[key]
    return made


def _copy_results(value, memo):
    """Copies the results of operations in a value, which `deepcopy` refuses."""
    if isinstance(value, Tensor):
        if not value.is_leaf:
            memo[id(value)] = value.detach().clone().requires_grad_()
    elif isinstance(value, SparseTensor):
        if value.storage._value is not None:
            _copy_results(value.storage._value, memo)
    elif isinstance(value, dict):
        for item in value.values():
            _copy_results(item, memo)
    elif isinstance(value, tuple | list):
        for item in value:
            _copy_results(item, memo)


def map_tensors(function, value):
    """A structure with a function of each of its tensors."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, SparseTensor):
        return (
            value.set_value(function(value.storage.value()), layout="coo")
            if (value.storage.value() is not None)
            else value
        )
    if type(value) is dict:
        return {key: map_tensors(function, item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map_tensors(function, item) for item in value)
    return value


class Inputs:
    """Copies of arguments, whose gradients can be compared.

    Args:
        value: A structure of tensors and other objects.
        dtype: The dtype of floating-point tensors; as they are if None.
    """

    def __init__(self, value, dtype=None):
        self.leaves = []
        copies = {}

        def copy_of(tensor):
            if id(tensor) not in copies:
                copies[id(tensor)] = tensor, self._copy(tensor, dtype)
            return copies[id(tensor)][1]

        self.value = map_tensors(copy_of, value)

    def _copy(self, tensor, dtype):
        made = tensor.detach().clone()
        if dtype is not None and tensor.dtype.is_floating_point:
            made = made.to(dtype)
        if not tensor.requires_grad:
            return made
        self.leaves.append(made.requires_grad_())
        # Layers may change a result in place, but not a leaf.
        return made if made.layout != torch.strided else made.clone()


def hooked(module):
    """Whether hooks of a test see the messages of a layer."""
    return any(
        getattr(part, name, None) for part in module.modules() for name in MESSAGE_HOOKS
    )


def is_compiled(module):
    """Whether a module or part of it is TorchScript."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def in_double(module: nn.Module) -> nn.Module:
    """The module in double precision."""
    return module.double()
