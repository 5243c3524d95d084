"""From the rules that a search has found to the flat arrays of a HAG."""
