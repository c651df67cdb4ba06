"""The neutral pipeline graph and the chain rule on it."""
