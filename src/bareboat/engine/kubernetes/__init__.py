"""Unattended runs as Jobs of a Kubernetes cluster."""
