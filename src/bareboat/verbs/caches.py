"""The one cache of a user's projects: models and packages that are fetched once. Opt-in, and never part of an image.

It is a named volume (or a directory that the settings name), writable, at one place inside; programs find it by the
variables below, which give way to all that the image, the project or the command line says of them.
"""

from __future__ import annotations

VOLUME = "bareboat-cache"
TARGET = "/run/bareboat/cache"
# variable → directory in the cache; where a name is customary below ~/.cache it is that one
VARIABLES = (
    ("HF_HOME", "huggingface"),  # hub, datasets, transformers
    ("TORCH_HOME", "torch"),  # torch.hub, torchvision
    ("KERAS_HOME", "keras"),
    ("TFHUB_CACHE_DIR", "tfhub_modules"),
    ("TFDS_DATA_DIR", "tensorflow_datasets"),
    ("KAGGLEHUB_CACHE", "kagglehub"),
    ("NLTK_DATA", "nltk_data"),
    ("GENSIM_DATA_DIR", "gensim-data"),
    ("FLAIR_CACHE_ROOT", "flair"),
    ("STANZA_RESOURCES_DIR", "stanza_resources"),
    ("SCIKIT_LEARN_DATA", "scikit_learn_data"),
    ("PIP_CACHE_DIR", "pip"),
    ("UV_CACHE_DIR", "uv"),
)


def variables(home: str) -> dict[str, str]:
    """The variables of a run with the cache. home: the directory inside that is thrown away; a login goes there."""
    found = {name: f"{TARGET}/{folder}" for name, folder in VARIABLES}
    # Hugging Face keeps its token in HF_HOME, where the programs of every other project would find it
    return {**found, "HF_TOKEN_PATH": f"{home}/.cache/huggingface/token", "UV_LINK_MODE": "copy"}
