"""Poisoning detectors over training data."""
