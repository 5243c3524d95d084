"""Random models on random graphs: HAGs give what PyG computes on edges."""
