"""Is the new model worse than the one that was accepted last, on rows that no training has seen?

`sealed` takes the labels away from the rows, `predict` lets the user's code predict in the sandbox, `scores` compares
what it said with what was taken away, for the new model and the accepted one, and `gate` reports it.
"""
