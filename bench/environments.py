"""The two environments that are measured, and the packages that are added to each."""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = "3.13"


@dataclass(frozen=True)
class Environment:
    """requirements: as in requirements.txt; light: an import that proves it is there; heavy: all of its stack."""

    name: str
    requirements: tuple[str, ...]
    light: str
    heavy: str

    def text(self, *added: str) -> str:
        """requirements.txt, with lines added at its end."""
        return "".join(f"{line}\n" for line in (*self.requirements, *added))


@dataclass(frozen=True)
class Added:
    """A package that one round adds: small, pure, without dependencies, in neither environment."""

    name: str
    module: str


SMALL = Environment("small", ("numpy", "pandas", "scikit-learn"), "import numpy",
                    "import numpy, pandas, sklearn.linear_model")
REAL = Environment(
    "real",
    ("tensorflow-cpu", "jax[cpu]", "pyarrow", "polars", "opencv-python-headless", "onnxruntime", "numba",
     "matplotlib", "transformers"),
    "import numpy",
    "import tensorflow, jax, pyarrow, polars, cv2, onnxruntime, numba, matplotlib.pyplot, transformers")
BY_NAME = {e.name: e for e in (SMALL, REAL)}

ADDED = tuple(Added(name, name) for name in (
    "tabulate", "toolz", "sortedcontainers", "humanize", "munch", "inflection", "xmltodict", "blinker", "boltons",
    "parse", "wcwidth", "natsort"))
