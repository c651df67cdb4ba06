"""Asking OPA: in a helper process, by its program, or over its REST API, with one meaning."""
