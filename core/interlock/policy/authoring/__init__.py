"""What a policy author types: test, check, coverage, eval, new, controls."""
