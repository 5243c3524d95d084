"""HAGs made of others in compiled code, where only operators can make them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyg_hag.hag import HAG, Handle


class View(HAG):
    """What stands for a HAG that is made of another one when the code runs.

    Operators get the tensors of the other one and the steps that lead from it to this
    one; each step is made once per HAG.
    """

    base: HAG
    view: str

    def __init__(self, base: HAG, view: str) -> None:
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "view", view)

    @property
    def _handle(self) -> Handle:
        tensors, num_src, view = self.base._handle
        return tensors, num_src, f"{view}{self.view}."

    @property
    def tensors(self) -> list[Tensor]:
        raise AttributeError(
            f"a HAG that is made in compiled code has no tensors there (by "
            f"'{self.view}'): use the HAG that it is made of"
        )

    @property
    def num_src(self) -> int:  # type: ignore[override]
        return self.base.num_dst if self.view == "t" else self.base.num_src

    @property
    def num_dst(self) -> int:
        return self.base.num_src if self.view == "t" else self.base.num_dst

    @property
    def num_aggregates(self) -> int:
        return self.base.num_aggregates

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def is_sequential(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.view == "t" and self.base.is_signed

    def edge_index_in_order(self, name: str) -> Tensor:
        """The edges in the order in which they were given."""
        if self.view != "t":
            raise ValueError(
                f"'{name}' cannot be used with self-loops in compiled code"
            )
        return self.base.edge_index_in_order(name).flip(0)


def _looped(hag: HAG) -> HAG:
    from pyg_hag._loops import looped

    return looped(hag)


_STEPS: dict[str, Callable[[HAG], HAG]] = {
    "t": HAG.t,
    "closed": lambda hag: hag.closed()[0],
    "looped": _looped,
}


def resolved(tensors: Sequence[Tensor], num_src: int, view: str) -> HAG:
    """The HAG of a handle, for operators that run."""
    hag = HAG._of(num_src, tensors)
    for step in view.split(".")[:-1]:
        hag = _STEPS[step](hag)
    return hag


def sizes(tensors: Sequence[Tensor], num_src: int, view: str) -> tuple[int, int]:
    """Its numbers of sources and destinations, for operators that do not run."""
    num_dst = tensors[4].size(0)
    if view.split(".").count("t") % 2:
        return num_dst, num_src
    return num_src, num_dst
