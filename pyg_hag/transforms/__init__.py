"""Transforms: from `Data` to `HAGData`."""

from pyg_hag.transforms.hag_transform import HAGTransform

__all__ = ["HAGTransform"]
