"""Search that merges the pairs of items that many rows share."""
