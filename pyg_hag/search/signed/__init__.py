"""The search for HAGs whose rows may subtract."""
