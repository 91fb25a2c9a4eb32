"""The two environments that are measured, and the package that is added to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """requirements: as in requirements.txt; added: one line more; imports: what proves that it is there."""

    name: str
    requirements: tuple[str, ...]
    added: str
    added_import: str
    heavy_import: str


SMALL = Environment("small", ("numpy", "pandas", "scikit-learn"), "tabulate", "tabulate",
                    "import numpy, pandas, sklearn.linear_model")
REAL = Environment(
    "real",
    ("tensorflow-cpu", "jax[cpu]", "pyarrow", "polars", "opencv-python-headless", "onnxruntime", "numba",
     "matplotlib", "transformers"),
    "tabulate", "tabulate",
    "import tensorflow, jax, pyarrow, polars, cv2, onnxruntime, numba, matplotlib.pyplot, transformers")
BY_NAME = {e.name: e for e in (SMALL, REAL)}
PYTHON = "3.13"
