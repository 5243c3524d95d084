"""How kernels walk a HAG: the order of rows, tasks of threads, slots of aggregates."""
