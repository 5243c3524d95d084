"""Helpers for arguments, arrays, tensors, tables and figures."""
