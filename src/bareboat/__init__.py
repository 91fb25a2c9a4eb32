"""bareboat: stateless containers for machine learning; everything but code, data and results is an OCI image."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
__all__ = ["container", "create", "queued", "record", "run", "train"]


def __getattr__(name: str) -> object:
    """The Python API's names, imported when first asked for: the command line does not need them."""
    if name in __all__:
        from bareboat import api

        return getattr(api, name)
    raise AttributeError(f"module 'bareboat' has no attribute {name!r}")
