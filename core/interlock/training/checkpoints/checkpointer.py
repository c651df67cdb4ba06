"""Saves and resumes a training, inside the sandbox or anywhere else.

Decides whether a checkpoint may be used: only one that the lineage's key signed, every byte of which was verified
before the first tensor was made of it. A newest checkpoint that is damaged stops the resume unless the caller allows
the one before: a kill cannot damage one (`store`), so a disk or a person did, and going back to older weights without a
word is what that person would want.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interlock.gate.documents import canonical_json, unambiguous_json
from interlock.gate.errors import InterlockError, SubjectError, UsageError
from interlock.gate.values import Json
from interlock.training.checkpoints import randomness, store
from interlock.training.checkpoints.keys import LineageKey
from interlock.training.checkpoints.state import Decoder, encode
from interlock.training.checkpoints.store import Checkpoint
from interlock.training.checkpoints.tensorfile import TensorFile, pieces_of

FOLDER_VARIABLE = "INTERLOCK_CHECKPOINTS"
STATE = "state.json"
_TENSORS = ".safetensors"
_RANDOM = "random"
_ITEM = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class SafeCheckpointer:
    """Keeps the checkpoints of one training.

    Args:
        folder: Where they lie; what ``INTERLOCK_CHECKPOINTS`` names when not given.
        key: The lineage's; the one that the sandbox hands in by descriptor when not given. See `keys.lineage_key`.
        keep: How many of the newest stay; two at least leave one to go back to.
        seal: Whether the files are encrypted at rest.
        randomness: Whether the states of the random generators are kept and set again.

    Raises:
        UsageError: There is neither a folder nor a variable, or no key, or `keep` is not positive.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        key: LineageKey | None = None,
        keep: int = 2,
        seal: bool = False,
        randomness: bool = True,
    ) -> None:
        given = folder or os.environ.get(FOLDER_VARIABLE)
        if not given:
            raise UsageError(
                "this training has no folder for checkpoints",
                where=FOLDER_VARIABLE,
                next_step="start it with a folder for checkpoints (`--checkpoints`), or name one",
            )
        if keep < 1:
            raise UsageError("at least one checkpoint is kept", where=f"keep = {keep}")
        self._folder = Path(given)
        self._key = key or _handed_in()
        self._keep = keep
        self._seal = seal
        self._randomness = randomness
        self._parent = ""
        self.values: Mapping[str, Any] = {}
        """The plain values of the checkpoint that was resumed."""

    def save(self, step: int, **items: Any) -> Checkpoint | None:
        """Write a checkpoint; it is on the disk, whole, when this returns.

        In a distributed training every worker calls this; the first one writes, and the others wait for it.

        Args:
            step: How far the training is; `resume` returns it.
            items: What is kept, by the name that `resume` gives it back to: objects with ``state_dict`` and
                ``load_state_dict`` (models, optimizers, schedulers, scalers, stateful data loaders), random generators,
                and plain values (see `state.encode`), which `values` has after a resume.

        Returns:
            The checkpoint; None in a worker that did not write.

        Raises:
            UsageError: An item is not representable; nothing was written.
            UnavailableError: The disk did not take it; older checkpoints are as they were.
        """
        if type(step) is not int or not 0 <= step < 10**18:
            raise UsageError("a step is a whole number from 0", where=f"step = {step!r}")
        _check_names(items)
        rank, states = _gathered(randomness.states()) if self._randomness else (_rank(), [])
        try:
            return self._saved(step, items, states) if rank == 0 else None
        finally:
            _wait_for_all()

    def _saved(self, step: int, items: Mapping[str, Any], states: list[dict[str, Any]]) -> Checkpoint:
        described: dict[str, Json] = {}
        files: dict[str, Iterable[memoryview]] = {}
        for name, value in {**items, **({_RANDOM: _Plain(states)} if states else {})}.items():
            kind, state = _state_of(value)
            written = encode(state, item=name)
            described[name] = {"kind": kind, "state": written.tree}
            if written.tensors:
                files[name + _TENSORS] = pieces_of(written, item=name)
        files[STATE] = [memoryview(canonical_json(described))]
        saved = store.write(
            self._folder,
            step=step,
            parent=self._parent,
            files=files,
            key=self._key,
            seal=self._seal,
            keep=self._keep,
        )
        self._parent = saved.digest
        _tell("checkpoint", saved)
        return saved

    def latest(self) -> Checkpoint | None:
        """The newest complete checkpoint, its signature verified and its files not yet; None when there is none.

        Raises:
            SignatureError, SubjectError: There is one, and it does not hold.
        """
        newest = next(iter(store.complete(self._folder)), None)
        return None if newest is None else store.look(newest, self._key)

    def resume(self, *, allow_previous: bool = False, allow_partial: bool = False, **items: Any) -> int | None:
        """Give the state of the newest checkpoint back to `items`.

        Args:
            allow_previous: Go back to an older one where the newest is damaged, and say so.
            allow_partial: Leave alone what the checkpoint holds and `items` does not name, as an evaluation does; the
                random generators too.
            items: The objects that `save` was given, by the same names; plain values are found in `values`.

        Returns:
            The step that was saved; None where there is no checkpoint, and nothing was changed.

        Raises:
            SignatureError, SubjectError: The newest checkpoint does not hold; nothing was changed.
            UsageError: It holds other items than these, or an item does not take its state.
        """
        _check_names(items)
        if not store.complete(self._folder):
            return None
        with store.reading(self._folder):
            found, held = self._newest(allow_previous=allow_previous)
        contents = _contents(held, where=str(found.place))
        _check_items(contents, items, partial=allow_partial, where=str(found.place))
        decoded = {
            name: one.decoded(views=_copies(items.get(name)))
            for name, one in contents.items()
            if name in items or one.kind == _Plain.kind
        }
        for name, value in items.items():
            _give_back(name, value, decoded[name], where=str(found.place))
        states = decoded.pop(_RANDOM, None)
        if states is not None and self._randomness and not allow_partial:
            randomness.set_states(_of_this_worker(states))
        self.values = {name: value for name, value in decoded.items() if name not in items}
        self._parent = found.digest
        if _rank() == 0:
            _tell("resumed", found)
        return found.step

    def _newest(self, *, allow_previous: bool) -> tuple[Checkpoint, dict[str, Any]]:
        refused: InterlockError | None = None
        for place in store.complete(self._folder):
            try:
                return store.read(place, self._key)
            except store.DAMAGE as error:
                _tell_damaged(place, error)
                refused = refused or error
                if not allow_previous:
                    break
        if refused is None:
            raise SubjectError("the checkpoints went away while they were looked for", where=str(self._folder))
        raise refused


class _Plain:
    """A value that is kept as it is, although it may look like an object with a state."""

    kind = "value"

    def __init__(self, value: Any) -> None:
        self.value = value


class _Content:
    """One item of a checkpoint, not decoded yet."""

    def __init__(self, name: str, described: Any, tensors: Any) -> None:
        self.kind: str = described["kind"]
        self._name = name
        self._tree = described["state"]
        self._tensors = tensors

    def decoded(self, *, views: bool) -> Any:
        tensors = None if self._tensors is None else TensorFile(self._tensors, item=self._name, views=views)
        return Decoder(tensors, item=self._name).value(self._tree)


def _contents(held: Mapping[str, Any], *, where: str) -> dict[str, _Content]:
    try:
        described: Any = unambiguous_json(bytes(held[STATE]))
        return {name: _Content(name, one, held.get(name + _TENSORS)) for name, one in described.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SubjectError(f"the checkpoint's {STATE} has another shape: {error!r}", where=where) from error


def _check_names(items: Mapping[str, Any]) -> None:
    for name in items:
        if not _ITEM.match(name) or name in {_RANDOM, "state", "manifest"}:
            raise UsageError("an item of a checkpoint has another name", where=repr(name), next_step="use a-z and _")


def _check_items(contents: Mapping[str, _Content], items: Mapping[str, Any], *, partial: bool, where: str) -> None:
    missing = sorted(set(items) - set(contents))
    forgotten = sorted(name for name, one in contents.items() if one.kind != _Plain.kind and name not in items)
    if missing:
        raise UsageError(
            f"the checkpoint holds no {missing[0]!r}", where=where, next_step="it holds " + ", ".join(contents)
        )
    if forgotten and not partial:
        step = "give it to `resume` too, or say allow_partial=True"
        raise UsageError(f"the checkpoint's {forgotten[0]!r} would be left out", where=where, next_step=step)


def _state_of(value: Any) -> tuple[str, Any]:
    if isinstance(value, _Plain):
        return _Plain.kind, value.value
    if callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None)):
        return "state", value.state_dict()
    generator = randomness.generator_state(value)
    return (_Plain.kind, value) if generator is None else ("generator", generator)


def _copies(value: Any) -> bool:
    """Whether it copies the tensors that it loads: modules do, optimizers keep them."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _give_back(name: str, value: Any, state: Any, *, where: str) -> None:
    try:
        if hasattr(value, "load_state_dict"):
            value.load_state_dict(state)
        else:
            randomness.set_generator(value, state)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{name!r} does not take the state of the checkpoint: {error}",
            where=where,
            next_step="build the same model and optimizer as the training that was saved",
        ) from error


def _handed_in() -> LineageKey:
    from interlock.training.events import secret

    held = secret("CHECKPOINT")
    if held is None:
        raise UsageError(
            "no key for the checkpoints was handed in",
            next_step="start the training with a folder for checkpoints, or give `key=lineage_key(settings, name)`",
        )
    return LineageKey(secret=held)


def _tell(kind: str, found: Checkpoint) -> None:
    from interlock.training.events import tell

    tell(kind, step=found.step, digest=found.digest, bytes=found.manifest.size)


def _tell_damaged(place: Path, error: InterlockError) -> None:
    from interlock.training.events import tell

    print(f"interlock: {place.name} is not used: {error}", file=sys.stderr)  # noqa: T201 (for the training's log)
    tell("damaged", checkpoint=place.name, reason=error.what[:200])


def _distributed() -> Any:
    """torch.distributed where a group of workers is at work, else None."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    return torch.distributed


def _rank() -> int:
    workers = _distributed()
    return 0 if workers is None else int(workers.get_rank())


def _gathered(states: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """This worker's number, and the states of all workers."""
    workers = _distributed()
    if workers is None:
        return 0, [states]
    everyone: list[Any] = [None] * workers.get_world_size()
    workers.all_gather_object(everyone, states)
    return int(workers.get_rank()), everyone


def _of_this_worker(states: list[dict[str, Any]]) -> dict[str, Any]:
    """This worker's own; one that was not there when the checkpoint was saved has none."""
    rank = _rank()
    if rank < len(states):
        return states[rank]
    raise UsageError(
        f"the checkpoint has the random states of {len(states)} workers, and this is worker {rank}",
        next_step="resume with as many workers, or without the states (randomness=False)",
    )


def _wait_for_all() -> None:
    workers = _distributed()
    if workers is not None:
        workers.barrier()
