"""Mix-ins that make PyG's layers accept a HAG."""
