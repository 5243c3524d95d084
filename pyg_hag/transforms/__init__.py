"""Transforms: from `Data` to `HAGData`."""

from pyg_hag.transforms.hag_metapaths import HAGMetaPaths
from pyg_hag.transforms.hag_transform import HAGTransform

__all__ = ["HAGMetaPaths", "HAGTransform"]
