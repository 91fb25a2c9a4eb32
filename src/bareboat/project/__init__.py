"""The user's file or folder, understood: load, find_root, inputs, check. The values are in values.py."""

from __future__ import annotations

from bareboat.project.deciding import inputs, lock_inputs, request
from bareboat.project.disk import check
from bareboat.project.folder import find_root, load
from bareboat.project.values import Overrides, Project
from bareboat.project.volumes import parse_volume, stacked

__all__ = [
    "Overrides",
    "Project",
    "check",
    "find_root",
    "inputs",
    "load",
    "lock_inputs",
    "parse_volume",
    "request",
    "stacked",
]
