"""What native programs expect of the tensors that they read and write."""

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from pyg_hag.runtime import memory

OPERANDS = (
    "x", "src_scale", "dst_scale", "self_scale", "out", "grad", "grad_x",
    "counts", "channel_scale", "bias", "residual", "residual_channel_scale",
    "next_scale", "parameters",
)  # fmt: skip
"""The tensors that programs read and write; those from `counts` on, quantized ones."""


class Sizes(NamedTuple):
    """The sizes of a call.

    Attributes:
        num_inputs: The number of inputs of all rows.
        num_src: The number of sources.
        num_dst: The number of destinations.
        columns: The number of features, or of bytes if they are packed.
    """

    num_inputs: int
    num_src: int
    num_dst: int
    columns: int


class Operand(NamedTuple):
    """A contiguous tensor on the CPU.

    Attributes:
        dtype: Its dtype; None if it is not read.
        numel: Its number of elements.
        required: Whether it must be passed.
    """

    dtype: torch.dtype | None
    numel: int
    required: bool = False


Operands = dict[str, Operand]
UNUSED = Operand(None, 0)


def listed(known: Operands, first: int) -> tuple[Any, ...]:
    """Dtype, length, number and necessity of all operands, numbered from `first`."""
    found = [known.get(name, UNUSED) for name in OPERANDS]
    return tuple((o.dtype, o.numel, first + i, o.required) for i, o in enumerate(found))


def result_of(
    known: Operands, x_shape: tuple[int, ...], num_dst: int, width: int
) -> tuple[Tensor | None, int, int]:
    """A tensor with the dtype of the result, and the result's rows and columns.

    None if memory for it is made fastest like x.
    """
    like = torch.empty(0, dtype=known["out"].dtype, device="cpu")
    is_small = num_dst * width * like.element_size() < memory.MIN_BYTES
    same = is_small and known["x"][:2] == known["out"][:2]  # packed, x is wider
    same = same and x_shape == (num_dst, width)
    return None if same else like, num_dst, width


def refuse(
    name: str, dtype: torch.dtype | None, numel: int, tensor: Tensor | None
) -> NoReturn:
    """The error for a tensor that is not what a program expects."""
    if dtype is None:
        raise ValueError(f"{name!r} is not read by this kernel: pass None")
    wanted = f"a contiguous tensor of {numel} elements of {dtype} on the CPU"
    if tensor is None:
        raise ValueError(f"{name!r} is missing (got None): pass {wanted}")
    gaps = "" if tensor.is_contiguous() else ", which is not contiguous"
    got = f"{tensor.dtype} of shape {list(tensor.shape)} on {tensor.device}{gaps}"
    error = TypeError if tensor.dtype is not dtype else ValueError
    raise error(f"{name!r} must be {wanted} for its kernel (got {got})")
