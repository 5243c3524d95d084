"""Random numbers and samples that can be drawn again."""
