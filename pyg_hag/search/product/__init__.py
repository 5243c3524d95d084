"""Products of graphs, whose HAG is made of the factors."""
