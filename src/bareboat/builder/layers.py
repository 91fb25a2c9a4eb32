"""Layers of other people's images → one tree to run from."""

from __future__ import annotations

import hashlib

from bareboat.lock import BaseImage

FORMAT = "1"  # part of every key: raised when the same layers would give another tree


def image_tree_key(image: BaseImage) -> str:
    """The store's key of an image's merged tree: a function of its DiffIDs and of what is taken out of it. Pure."""
    lines = [FORMAT, *(layer.diff_id for layer in image.layers), "", *image.removed]
    return "image-" + hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
