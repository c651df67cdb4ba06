"""The OPA bundle that ships with Interlock; `importlib.resources` finds it here."""
