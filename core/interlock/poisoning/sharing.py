"""What several detectors ask of one thing, worked out once: by the first that asks, for all that ask after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asked:
    """One question.

    Args:
        lock: Held by who works the answer out; the others wait for it.
        answers: The answer, once it is there.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    answers: list[Any] = field(default_factory=list)


class Once:
    """Answers that live as long as what they are about, and are left behind when it travels to another process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[Hashable, _Asked] = {}

    def get(self, question: Hashable, answer: Callable[[], Answer]) -> Answer:
        """The answer to a question; any thread may ask.

        Args:
            question: Says all that the answer depends on.
            answer: Works it out.
        """
        with self._lock:
            asked = self._asked.setdefault(question, _Asked())
        with asked.lock:
            if not asked.answers:
                asked.answers.append(answer())
            found: Answer = asked.answers[0]
            return found

    def __reduce__(self) -> tuple[type[Once], tuple[()]]:
        return Once, ()
