"""The public table of tricks says what the tests on a real Airflow assert, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bypass.tricks import LEVELS, TRICKS, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "enforcement.md"
WORDS = {
    Outcome.TRAINED: "trained",
    Outcome.DENIED: "found",
    Outcome.REFUSED: "refused",
    Outcome.ABSENT: "not loaded",
    Outcome.QUARANTINED: "quarantined",
    Outcome.GUARDED: "guard shut",
    Outcome.FORBIDDEN: "403",
}


def rows() -> Iterator[str]:
    """The table's rows in Markdown; print them with ``python -m tests.bypass.test_documented``."""
    for trick in TRICKS:
        outcomes = (WORDS[trick.at[level]] if level in trick.at else "" for level in LEVELS[1:])
        row = f"| {trick.number} | {trick.what} | {' | '.join(outcomes)} |"
        yield row.replace("|  |", "| |").replace("|  |", "| |")


def test_every_trick_stands_on_the_page_with_what_becomes_of_it() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line.startswith("| ") and line[2:4].strip().isdigit()]
    assert said == list(rows())


def test_every_number_of_the_facts_is_there() -> None:
    assert {trick.number for trick in TRICKS} == set(range(1, 15))


if __name__ == "__main__":
    print("\n".join(rows()))
