"""Pictures of HAGs, with Matplotlib."""
