"""KFP's executor input: where a step's artifacts lie, and the same input with one of them at another place.

Reads what KFP's launcher puts in place of ``{{$}}`` (`kfp.dsl.executor` reads it too) without needing kfp, which a
user's image may lack or have in another version. Everything in it is untrusted; the types and metadata of artifacts are
not read at all, but for the one mark that moves an artifact's path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.gate import GuardError, UsageError
from interlock.gate.documents import unambiguous_json
from interlock.kubeflow.identity import PREFIX

_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
_OCI = "oci://"
_WORKSPACE_MARK = "_kfp_workspace"
_WORKSPACE = "/kfp-workspace/.artifacts/"

_NAME = r"[\w.-]"  # what a path's last part goes on with


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact as a step gets it.

    Args:
        name: Of the input.
        uri: Where KFP keeps it.
        path: Where it lies in this container, as `kfp.dsl.Artifact.path` says.
    """

    name: str
    uri: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorInput:
    """One executor input.

    Args:
        text: As it came.
        document: Parsed.
    """

    text: str
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> ExecutorInput:
        """Read it from the text in place of ``{{$}}``.

        Raises:
            UsageError: It is none.
        """
        try:
            document: Any = unambiguous_json(text)
        except ValueError as error:
            raise _no_input(str(error)) from error
        if not is_executor_input(document):
            raise _no_input("it has no inputs and outputs")
        return cls(text=text, document=document)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The values of its input parameters."""
        return _mapping(self.document["inputs"].get("parameterValues"))

    def artifact(self, name: str) -> Artifact:
        """The one artifact of an input.

        Raises:
            GuardError: The input has none, several, or one without a place.
        """
        held = _mapping(_mapping(self.document["inputs"].get("artifacts")).get(name)).get("artifacts")
        if not isinstance(held, list) or len(held) != 1 or not isinstance(held[0], dict):
            number = len(held) if isinstance(held, list) else 0
            raise GuardError(
                f"the step got {number} artifacts in place of one",
                where=name,
                next_step="wire exactly one artifact to this input",
            )
        uri = held[0].get("uri")
        if not isinstance(uri, str) or not uri:
            raise GuardError("the artifact is nowhere", where=name, next_step="let the step that makes it write it")
        return Artifact(name=name, uri=uri, path=local_path_of(held[0]))

    def moved(self, name: str, place: Path, *, last: bool = True) -> str:
        """The text of this executor input with the artifact `name` at `place`.

        Both the path and the URI are replaced, so that a step that opens one or the other reads the same bytes.

        Args:
            name: Of the input.
            place: The held copy.
            last: Leave away what is only a guard's; no other guard comes behind.
        """
        document = json.loads(self.text)
        inputs = document["inputs"]
        for part in ("artifacts", "parameterValues"):
            if last and part in inputs:
                inputs[part] = {key: value for key, value in inputs[part].items() if not key.startswith(PREFIX)}
        (artifact,) = inputs["artifacts"][name]["artifacts"]
        artifact["uri"] = str(place)
        for moving in ("custom_path", "customPath"):
            artifact.pop(moving, None)
        _mapping(artifact.get("metadata")).pop(_WORKSPACE_MARK, None)
        return json.dumps(document)


def check_command(command: Sequence[str], given: ExecutorInput, subject: Artifact) -> None:
    """Refuse a command that would not read the held copy.

    Args:
        command: Of the step, with KFP's placeholders filled in.
        given: The executor input that the guard was given.
        subject: What the guard is going to open.

    Raises:
        GuardError: The command names the subject nowhere, or has an executor input that is not the guard's: then what
            it reads is not what was checked.
    """
    for word in command:
        _check_word(word, given)
    pattern = _places(given, subject)
    if not any(pattern.search(word) for word in command):
        raise GuardError(
            "the step's command names its subject nowhere, so what it reads cannot be held",
            where=subject.name,
            next_step="pass the artifact's path, its URI or the executor input to the command",
        )


def moved_command(
    command: Sequence[str], given: ExecutorInput, subject: Artifact, place: Path, *, last: bool = True
) -> tuple[str, ...]:
    """A step's command with `subject` at `place`, wherever the command names it.

    Args:
        command: As `check_command` let it pass.
        given: The executor input that the guard was given.
        subject: What the guard opened.
        place: The held copy.
        last: As in `ExecutorInput.moved`.
    """
    instead = {given.text: given.moved(subject.name, place, last=last)}
    pattern = _places(given, subject)
    return tuple(pattern.sub(lambda match: instead.get(match[0], str(place)), word) for word in command)


def _places(given: ExecutorInput, subject: Artifact) -> re.Pattern[str]:
    """Where a word names the subject: the executor input, or its path or URI and not the beginning of another's."""
    names = "|".join(rf"(?<!{_NAME}){re.escape(name)}(?!{_NAME})" for name in (subject.uri, subject.path))
    return re.compile(f"{re.escape(given.text)}|{names}")


def _check_word(word: str, given: ExecutorInput) -> None:
    if given.text in word or not word.lstrip().startswith("{"):
        return
    try:
        document = json.loads(word)
    except (ValueError, RecursionError):
        return
    if is_executor_input(document):
        raise GuardError(
            "the step has another executor input than its guard",
            where="--executor-input",
            next_step="let `gated()` write the guard's arguments; pass {{$}} to both",
        )


def is_executor_input(document: object) -> bool:
    """Whether a JSON document looks like an executor input."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("inputs"), dict)
        and isinstance(document.get("outputs"), dict)
    )


def local_path_of(artifact: Mapping[str, Any]) -> str:
    """Where an artifact lies in the container: `kfp.dsl.Artifact.path`, of `kfp.dsl.Model` for one in an OCI image.

    Args:
        artifact: As a runtime artifact in an executor input, untrusted.
    """
    uri = str(artifact.get("uri", ""))
    path = uri
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            path = mount + uri.removeprefix(scheme)
    if uri.startswith(_OCI):
        path = "/oci/" + uri.removeprefix(_OCI).replace("/", "_")
    if _mapping(artifact.get("metadata")).get(_WORKSPACE_MARK) is True:
        path = _WORKSPACE + path.lstrip("/")
    if uri.startswith(_OCI) and _mapping(artifact.get("type")).get("schemaTitle") == "system.Model":
        path += "/models"
    return path


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _no_input(why: str) -> UsageError:
    return UsageError(f"no executor input: {why}", where="--executor-input", next_step="pass {{$}}, which KFP fills in")
