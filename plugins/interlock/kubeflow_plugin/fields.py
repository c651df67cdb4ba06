"""The fields of one message of the IR, taken strictly: each has its type or is not there, and none is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from interlock.kubeflow_plugin.documents import UnreadableError

NEXT_STEP = "compile the pipeline again with a kfp that Interlock knows (2.16 or 2.17), or look for a newer Interlock"


@dataclass(frozen=True, slots=True)
class Fields:
    """One message.

    Args:
        values: Untrusted.
        where: Its path in the file, for messages.
    """

    values: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: object, where: str) -> Self:
        """Take a value for a message.

        Raises:
            UnreadableError: It is none.
        """
        if not isinstance(value, Mapping):
            raise UnreadableError("this is no object", where=where, next_step=NEXT_STEP)
        return cls(value, where)

    def known(self, *names: str) -> None:
        """Refuse every field but these.

        Raises:
            UnreadableError: There is another one.
        """
        for name in self.values:
            if name not in names:
                raise UnreadableError(f"the field {name[:80]!r} is not known", where=self.where, next_step=NEXT_STEP)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """A text; empty when it is not there."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._mistyped(name, "text")
        return value

    def flag(self, name: str) -> bool:
        """A truth value; false when it is not there."""
        value = self.values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._mistyped(name, "truth value")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._list(name)
        if not all(isinstance(item, str) for item in value):
            raise self._mistyped(name, "list of texts")
        return tuple(value)

    def object(self, name: str) -> Fields:
        """A message within; an empty one when it is not there."""
        value = self.values.get(name)
        return Fields.of({} if value is None else value, f"{self.where}.{name}")

    def objects(self, name: str) -> dict[str, Fields]:
        """Messages within, by name."""
        return {key: Fields.of(value, f"{self.where}.{name}.{key}") for key, value in self.object(name).values.items()}

    def list_of_objects(self, name: str) -> list[Fields]:
        """A list of messages."""
        return [Fields.of(item, f"{self.where}.{name}.{number}") for number, item in enumerate(self._list(name))]

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._mistyped(name, "list")
        return value

    def _mistyped(self, name: str, kind: str) -> UnreadableError:
        return UnreadableError(f"the field {name!r} is no {kind}", where=self.where, next_step=NEXT_STEP)
