"""Triton kernels for CUDA, and the backend that launches them."""
