"""Unattended runs as values: what they need, how they are interrupted, what follows an attempt. Pure."""
