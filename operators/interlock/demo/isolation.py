"""What a demo says first: how well the training can be isolated on this machine."""

from __future__ import annotations


def isolation_line() -> str:
    """One line for people, with the next step where bubblewrap cannot be used."""
    from interlock.training import best_sandbox

    sandbox = best_sandbox()
    if sandbox.level == "bwrap":
        return "training is isolated by bubblewrap"
    return (
        f"bubblewrap cannot be used here, so training runs at isolation level {sandbox.level!r}, which every receipt "
        "says. Next: apt-get install bubblewrap (Debian, Ubuntu) or dnf install bubblewrap (Fedora)"
    )
