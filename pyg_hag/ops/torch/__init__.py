"""Backends of plain PyTorch operators: the reference, and sums of sorted segments."""
