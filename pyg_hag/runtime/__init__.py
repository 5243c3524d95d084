"""Compiled code, threads and memory; nothing here depends on graphs."""
