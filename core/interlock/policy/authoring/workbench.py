"""OPA for people who write policy: parse, compile, run tests, cover and trace, in a helper that decides nothing.

A decision needs one answer (`interlock.policy.engines.embedded`). An author needs what OPA knows on the way there: the
syntax tree, every error of the compiler, what was printed, which lines ran. An error of Rego is an answer here, not an
exception: it is what the author asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

from interlock.gate.errors import PolicyError
from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle, Module
from interlock.policy.engines.helper_process import Helper, start_helper
from interlock.policy.engines.install import Library, locate

START_SECONDS = 60.0
ANSWER_LIMIT = 256 * 1024 * 1024
"""A trace of a long evaluation is large, and the author asked for it."""

ASKED = "interlock.asked"
"""The builtin that returns what the question tells: one compiled query serves every test of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Print:
    """One `print` of Rego.

    Args:
        place: ``file:row``.
        text: What was printed; untrusted.
    """

    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What OPA said of one question.

    Args:
        error: Its error, empty when there is none.
        rows: The result set in the form of ``opa eval``; empty when undefined or on an error.
        prints: In the order of printing.
        coverage: OPA's coverage report by file, when asked for.
        trace: OPA's events in order, when asked for.
    """

    error: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    prints: tuple[Print, ...] = ()
    coverage: Mapping[str, Any] = field(default_factory=dict)
    trace: tuple[Mapping[str, Any], ...] = ()


class Workbench:
    """A helper process with one bundle in it. Not thread safe; use it as a context manager.

    Args:
        library: The OPA library; found by `interlock.policy.engines.install.locate` when not given.
        deadline: Seconds that one question may take.
    """

    def __init__(self, library: Library | None = None, *, deadline: float = 60.0) -> None:
        self._library = library if library is not None else locate(Settings.load())
        self._deadline = deadline
        self._bundle: Bundle | None = None
        self._asked = False
        self._helper: Helper | None = None
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(self, bundle: Bundle, *, asked: bool = False) -> str:
        """Put `bundle` in the place of the one before.

        Args:
            bundle: Rules and data.
            asked: Whether OPA gets the builtin `ASKED`. A rule that calls it would compile nowhere else, so only a
                test run does that.

        Returns:
            OPA's error when a rule cannot be parsed or the data conflict; empty when all is well. Errors of the
            compiler come with the first question.
        """
        self.close()
        self._bundle, self._asked = bundle, asked
        return self._start()

    def ask(
        self,
        query: str,
        document: Json = None,
        *,
        bare: bool = False,
        told: Json = None,
        coverage: bool = False,
        trace: bool = False,
    ) -> Reply:
        """Evaluate one query.

        Args:
            query: Rego.
            document: What is read as ``input``.
            bare: Leave ``input`` undefined, as ``opa test`` does.
            told: What the builtin `ASKED` returns during this question.
            coverage: Whether to report which lines ran.
            trace: Whether to report every step.

        Raises:
            PolicyError: The helper cannot start, died, or passed the deadline; the next question starts another.
        """
        if self._helper is None:
            refused = self._start()
            if refused:
                return Reply(error=refused)
        flags: dict[str, Json] = {"told": told, "coverage": coverage, "trace": trace}
        return _reply(self._exchange({"kind": "query", "query": query, **flags}, b"" if bare else _encoded(document)))

    def close(self) -> None:
        """End the helper."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()

    def _start(self) -> str:
        self._helper, _ = start_helper(self._library, seconds=START_SECONDS, answer_limit=ANSWER_LIMIT)
        if self._asked:
            self._exchange({"kind": "register", "name": ASKED}, b"")
        if self._bundle is None:
            return ""
        modules = [[module.path, module.source] for module in self._bundle.modules]
        said = self._exchange({"kind": "load", "modules": cast("Json", modules)}, _encoded(dict(self._bundle.data)))
        return _error(said)

    def _exchange(self, request: Mapping[str, Json], body: bytes) -> Mapping[str, Any]:
        helper = self._helper
        if helper is None:  # pragma: no cover - every caller starts one
            raise PolicyError("the policy engine's helper is not running")
        self._number += 1
        message = _encoded({**request, "id": self._number}) + b"\n" + body + b"\n"
        try:
            return _envelope(helper.exchange(message, seconds=self._deadline), self._number)
        except BaseException:
            self.close()
            raise


def parsed_trees(workbench: Workbench, modules: Sequence[Module]) -> list[Mapping[str, Any] | str]:
    """OPA's syntax tree of each module, or OPA's error where it cannot be parsed."""
    query = "tree := rego.parse_module(input.path, input.source)"
    replies = [workbench.ask(query, {"path": module.path, "source": module.source}) for module in modules]
    return [reply.error or cast("Mapping[str, Any]", reply.rows[0]["bindings"]["tree"]) for reply in replies]


def _envelope(said: Json, number: int) -> Mapping[str, Any]:
    if isinstance(said, Mapping) and said.get("id") == number:
        envelope = said.get("envelope")
        if isinstance(envelope, Mapping):
            return envelope
    raise PolicyError("the policy engine answered in another shape", where=str(said)[:200])


def _reply(envelope: Mapping[str, Any]) -> Reply:
    return Reply(
        error=_error(envelope),
        rows=tuple(envelope.get("result") or ()),
        prints=tuple(
            Print(place=str(one.get("location", "")), text=str(one.get("message", "")))
            for one in envelope.get("prints") or ()
        ),
        coverage=(envelope.get("coverage") or {}).get("files") or {},
        trace=tuple(envelope.get("trace") or ()),
    )


def _error(envelope: Mapping[str, Any]) -> str:
    error = envelope.get("error")
    if error is None:
        return ""
    return str(error.get("message", error)) if isinstance(error, Mapping) else str(error)


def _encoded(document: Json) -> bytes:
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PolicyError(f"the input document cannot be written as JSON: {error}") from error
