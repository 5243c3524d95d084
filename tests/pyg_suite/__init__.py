"""Runs PyG's own tests with every layer repeated on HAGs: a plugin of pytest."""
