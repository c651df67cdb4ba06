"""Puts the rooms together: from settings to the run of a gate, a guard, a training or a promotion."""
