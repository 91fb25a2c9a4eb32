"""Processes that are started by argv, never by people."""
