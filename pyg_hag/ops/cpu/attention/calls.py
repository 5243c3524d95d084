"""Runs attention kernels on tensors."""

import functools
from typing import Any

import torch
from torch import Tensor

from pyg_hag.ops.attention.dropout import Dropout
from pyg_hag.ops.cpu.attention.backward import Backward
from pyg_hag.ops.cpu.attention.forward import Forward
from pyg_hag.ops.cpu.attention.layout import Layout
from pyg_hag.ops.cpu.attention.nodes import Products
from pyg_hag.ops.cpu.attention.program import NUM_STATS
from pyg_hag.ops.cpu.attention.running import bits_of, run_rows
from pyg_hag.plan.attention import EdgeRows
from pyg_hag.runtime import memory

MAX_CACHED_BYTES = 1 << 20
"""Up to this size of all features, they are not prefetched."""
_forward = functools.cache(Forward)
_backward = functools.cache(Backward)
_products = functools.cache(Products)


class Attention:
    """The kernels of one kind of attention, for some shape of features.

    Args:
        kind: `"gat"`, `"gatv2"` or `"dot"`.
        layout: The layout of features.
        slope: Of the leaky ReLU.
        scale: Of inner products.
        dropout: Which coefficients are dropped, if any.
    """

    def __init__(
        self,
        kind: str,
        layout: Layout,
        slope: float = 0.0,
        scale: float = 1.0,
        dropout: Dropout | None = None,
    ) -> None:
        self.kind, self.layout = kind, layout
        self.slope, self.scale, self.dropout = slope, scale, dropout

    def forward(
        self, rows: EdgeRows, inputs: dict[str, Tensor], positive: bool
    ) -> dict[str, Tensor]:
        """The results of the destinations.

        Args:
            rows: The edges, by destination.
            inputs: `key`, `value`, `query`, and `att` and `edge_term` if there are any.
            positive: Whether to sum what has a positive score, too.

        Returns:
            `out`, `positive`, and `out_stats`.
        """
        layout = self.layout
        names = ["out", *(["positive"] if positive else [])]
        value = inputs["value"]
        outputs = {
            name: memory.empty(value, rows.num_rows, layout.columns) for name in names
        }
        outputs["out_stats"] = value.new_empty(rows.num_rows, NUM_STATS, layout.heads)
        program = self._program(_forward, inputs, value.size(0), positive)
        self._run(program, rows, {**inputs, **outputs})
        return outputs

    def backward(
        self, rows: EdgeRows, inputs: dict[str, Tensor], by_source: bool
    ) -> dict[str, Tensor]:
        """The gradients of what belongs to destinations, or to sources and edges.

        Args:
            rows: The edges, by destination or by source.
            inputs: Those of the forward pass, and `grad` and `stats`.
            by_source: Whether rows are sources.
        """
        layout, value = self.layout, inputs["value"]

        def features(count: int) -> Tensor:
            return memory.empty(value, count, layout.columns)

        outputs = {}
        if not by_source:
            outputs["grad_query"] = features(rows.num_rows)
            if self.kind == "gatv2":
                outputs["grad_att"] = features(rows.num_rows)
        elif self.kind == "gat":
            outputs["grad_key"] = value.new_empty(rows.num_rows, layout.heads)
            outputs["grad_value"] = features(rows.num_rows)
        else:
            outputs["grad_key"] = features(rows.num_rows)
            if self.kind == "dot":
                outputs["grad_value"] = features(rows.num_rows)
        if by_source and "edge_term" in inputs:
            outputs["grad_edge"] = torch.empty_like(inputs["edge_term"])
        others = inputs["grad" if by_source else "value"].size(0)
        program = self._program(_backward, inputs, others, not by_source)
        self._run(program, rows, {**inputs, **outputs})
        return outputs

    def _program(
        self, make: Any, inputs: dict[str, Tensor], others: int, option: bool
    ) -> Any:
        layout = self.layout
        row_bytes = layout.columns * inputs["value"].element_size()
        return make(
            self.kind,
            layout.dtype,
            layout.width,
            layout.groups,
            layout.vectors,
            "edge_term" in inputs,
            self.dropout is not None,
            others * row_bytes > MAX_CACHED_BYTES,
            option,
        )

    def products(
        self, rows: EdgeRows, tensors: dict[str, Tensor], with_query: bool
    ) -> dict[str, Tensor]:
        """What the backward pass reads of destinations: see :class:`Products`.

        Args:
            rows: The edges, by destination.
            tensors: The results as `value`, `grad`, `stats`, and `key`.
            with_query: Whether to compute the gradient of the query, too.
        """
        outputs = {"out_stats": torch.empty_like(tensors["stats"])}
        if with_query:
            shape = rows.num_rows, self.layout.heads
            outputs["grad_query"] = tensors["grad"].new_empty(shape)
        program = self._program(_products, tensors, 0, with_query)
        self._run(program, rows, {**tensors, **outputs})
        return outputs

    def _run(self, program: Any, rows: EdgeRows, tensors: dict[str, Tensor]) -> None:
        places = {name: t.data_ptr() for name, t in tensors.items()}
        for tensor in tensors.values():
            assert tensor.is_contiguous()
        run_rows(program, self.layout, rows, {**places, **self._numbers()})

    def _numbers(self) -> dict[str, int]:
        bits = functools.partial(bits_of, wide=self.layout.dtype == "float64")
        numbers = {"slope": bits(self.slope), "scale": bits(self.scale)}
        if self.dropout is not None:
            numbers["seed"] = self.dropout.seed
            numbers["threshold"] = self.dropout.threshold
            numbers["kept"] = bits(self.dropout.scale)
        return numbers
