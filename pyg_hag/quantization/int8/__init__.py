"""Inference in INT8."""
