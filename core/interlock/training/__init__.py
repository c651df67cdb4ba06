"""Sandboxed training and its provenance."""
