"""Input graphs: formats, files, compressed rows, factors of edge weights."""
