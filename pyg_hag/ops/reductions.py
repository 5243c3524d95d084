"""The names of the reductions, and the numbers that all backends must agree on."""

import torch

REDUCES = ("sum", "mean", "symnorm", "max", "min", "var", "std")
SIGNED_REDUCES = ("sum", "mean", "symnorm")
"""Those that can be taken back: the ones over a HAG that subtracts."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The dtypes of features that kernels read."""
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
"""Those that are summed as they are, by the reference."""
COMPLEX = (torch.complex64, torch.complex128)
MIN_VARIANCE = 1e-5
"""Up to which the standard deviation is 0, as in PyG."""
