"""The `interlock` command.

Exit status, everywhere: 0 ALLOW, 1 DENY, 3 UNDECIDED, 2 usage or configuration error. Answers go to standard output,
progress and errors to standard error; in a pipe there are no boxes and no colours.
"""

from interlock.cli.app import main

__all__ = ["main"]
