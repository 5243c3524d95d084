"""The vector registers of this machine, and how each dtype is stored and computed."""

import platform
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir


def _target_features() -> dict[str, bool]:
    """The instruction sets that Numba compiles for: the host's, or as configured."""
    configured = numba.config.CPU_FEATURES
    if configured is None:
        return dict(llvm.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in configured.split(",") if name}


_features = _target_features()
_has_avx512 = _features.get("avx512f", False) and _features.get("avx512bw", False)
IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
VECTOR_BYTES = 64 if _has_avx512 else 32 if _features.get("avx2", False) else 16
"""Size of a vector register of this machine."""
ACCUMULATORS = 16 if _has_avx512 else 8
"""Registers for running results; the others are for inputs and factors."""
HAS_HALF = _features.get("f16c", False) or platform.machine() in ("arm64", "aarch64")
"""Whether the machine converts float16."""
CACHE_LINE = 64

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()


@dataclass(frozen=True)
class Format:
    """How elements are stored in memory, and in which type they are computed.

    Attributes:
        stored: The LLVM type in memory.
        computed: The LLVM type in registers.
        size: Bytes of an element in memory.
    """

    stored: Any
    computed: Any
    size: int

    @property
    def lanes(self) -> int:
        """Number of elements that are computed in one vector."""
        if isinstance(self.computed, ir.IntType):
            return int(8 * VECTOR_BYTES // self.computed.width)
        return VECTOR_BYTES // (8 if self.computed is F64 else 4)

    @property
    def is_wide(self) -> bool:
        """Whether elements are computed in the type in which they are stored."""
        return self.stored is self.computed


FORMATS = {
    "float32": Format(F32, F32, 4),
    "float64": Format(F64, F64, 8),
    "bfloat16": Format(I16, F32, 2),
    **({"float16": Format(F16, F32, 2)} if HAS_HALF else {}),
}
"""The dtypes that kernels read and write; narrow ones are computed in float32."""
