"""Promotion of a model whose bytes the guard has verified."""
