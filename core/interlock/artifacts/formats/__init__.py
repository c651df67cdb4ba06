"""Formats that hold weights, graphs or settings, each read natively: no framework is imported."""
