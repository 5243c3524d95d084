"""The search for sequential HAGs, whose rows read their inputs in order."""
