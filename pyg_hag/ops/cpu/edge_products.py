"""Inner products of the features at both ends of edges."""

from pyg_hag.runtime.jit import jit


@jit
def dot(a, b, u, v, first, last, out):  # type: ignore[no-untyped-def]
    """Four sums side by side, so that additions need not wait for each other."""
    width = a.shape[1]
    even = width - width % 4
    for e in range(first, last):
        x, y = a[v[e]], b[u[e]]
        s0 = s1 = s2 = s3 = a.dtype.type(0)
        for f in range(0, even, 4):
            s0 += x[f] * y[f]
            s1 += x[f + 1] * y[f + 1]
            s2 += x[f + 2] * y[f + 2]
            s3 += x[f + 3] * y[f + 3]
        for f in range(even, width):
            s0 += x[f] * y[f]
        out[e] = (s0 + s1) + (s2 + s3)
