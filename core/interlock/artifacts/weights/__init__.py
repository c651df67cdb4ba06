"""Looks at the weights themselves: numbers that are none, bytes that no tensor owns, changes since the last version."""
