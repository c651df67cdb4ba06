"""Model files: scanners by format that deny what could run."""
