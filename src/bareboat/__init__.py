"""bareboat: stateless containers for machine learning; everything but code, data and results is an OCI image."""

__version__ = "0.1.0.dev0"
