"""What follows the sums of a row of quantized attention, in registers."""

from typing import Any

from llvmlite import ir

from pyg_hag.ops.cpu.formats import I8, I32, I64


class RowEnd:
    """Emits the end of a row: rounding, heads side by side or their mean, epilogue.

    Args:
        emitter: The emitter of the row.
    """

    def __init__(self, emitter: Any) -> None:
        self.emitter, self.program = emitter, emitter.program
        self.b, self.lanes, self.block = emitter.b, emitter.lanes, emitter.block

    def store(self, sums: list[Any], tile: range) -> None:
        """Writes the results of a tile.

        Args:
            sums: Vectors of the sums, in steps of the scale of the values.
            tile: The numbers of these vectors.
        """
        program, width = self.program, self.program.width
        rounded = [self._rounded(vector) for vector in sums]
        lanes = self.lanes.count
        first, end = tile.start * lanes // width, tile.stop * lanes // width
        channels = range(first, min(end, program.num_channels))
        by_head = separated(self.b, rounded, list(range(width)))
        count = width if program.groups > 1 else program.num_heads
        if program.mean:
            total = by_head[0]
            for head in range(1, count):
                pairs = zip(total, by_head[head], strict=True)
                total = [self.b.fadd(x, y) for x, y in pairs]
            self._store_head(0, channels, total)
        else:
            for head in range(count):
                self._store_head(head, channels, by_head[head])

    def _rounded(self, vector: Any) -> Any:
        """Sums in steps of their own scale."""
        scaled = self.b.fmul(vector, self.emitter.number("ratio"))
        zero_point = self.emitter.number("sum_zero")
        return self.lanes.steps(scaled, zero_point, self.emitter.number("sum_max"))

    def _store_head(self, head: int, tile: range, vectors: list[Any]) -> None:
        """Writes channels of a head, or of the mean of all."""
        b, program, channels = self.b, self.program, self.program.num_channels
        group = b.mul(self.emitter.task.feature, I64(program.width * channels))
        row = b.mul(self.emitter.row, I64(program.result_heads * channels))
        for i, vector in enumerate(vectors):
            lanes = vector.type.count
            channel = tile.start + i * lanes
            kept = min(lanes, tile.stop - channel)
            if kept <= 0:
                break
            if kept < lanes:
                vector = shuffled(b, vector, vector, range(kept))
            feature = b.add(group, I64(head * channels + channel))
            self._store(vector, feature, b.add(row, feature))

    def _store(self, vector: Any, feature: Any, place: Any) -> None:
        """Applies the epilogue to features, and writes them."""
        b, block, kind = self.b, self.block, vector.type
        vector = b.fmul(vector, _load(b, block.channel_scale, feature, kind))
        vector = b.fadd(vector, _load(b, block.bias, feature, kind))
        lowest = self._number("lowest", kind)
        vector = b.select(b.fcmp_ordered(">", vector, lowest), vector, lowest)
        if self.program.quantizes:
            scaled = b.fmul(vector, self._number("out_inverse", kind))
            zero_point = self._number("out_zero", kind)
            codes = self.lanes.codes(scaled, zero_point, self._number("out_max", kind))
            vector = b.fptosi(codes, ir.VectorType(I32, kind.count))
            vector = b.trunc(vector, ir.VectorType(I8, kind.count))
        size = 1 if self.program.quantizes else 4
        at = b.add(block.out, b.mul(place, I64(size)))
        b.store(vector, b.inttoptr(at, vector.type.as_pointer()), align=size)

    def _number(self, name: str, kind: Any) -> Any:
        """A parameter in all lanes of a vector of some type."""
        full = self.emitter.number(name)
        return shuffled(self.b, full, full, [0] * kind.count)


def separated(b: Any, vectors: list[Any], heads: list[int]) -> dict[int, list[Any]]:
    """The vectors of each head, from vectors in which heads lie side by side.

    Args:
        b: The builder.
        vectors: The vectors, in which heads alternate in their order.
        heads: The numbers of the heads, a power of two.

    Returns:
        For each head as many channels as there are, in vectors of equal size.
    """
    if len(heads) == 1:
        return {heads[0]: vectors}
    found: dict[int, list[Any]] = {}
    for k in range(2):
        if len(vectors) == 1:
            lanes = range(k, vectors[0].type.count, 2)
            half = [shuffled(b, vectors[0], vectors[0], lanes)]
        else:
            lanes = range(k, 2 * vectors[0].type.count, 2)
            others = [*vectors[1::2], vectors[-1]]
            half = [
                shuffled(b, x, y, lanes)
                for x, y in zip(vectors[::2], others, strict=False)
            ]
        found |= separated(b, half, heads[k::2])
    return found


def shuffled(b: Any, x: Any, y: Any, lanes: Any) -> Any:
    """Some lanes of two vectors, as one vector."""
    lanes = list(lanes)
    mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
    return b.shuffle_vector(x, y, mask)


def _load(b: Any, array: Any, feature: Any, kind: Any) -> Any:
    """Numbers of consecutive features from an array of float32."""
    at = b.add(array, b.mul(feature, I64(4)))
    return b.load(b.inttoptr(at, kind.as_pointer()), align=4)
