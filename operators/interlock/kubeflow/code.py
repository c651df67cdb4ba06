"""A training's code as a constant of the compiled pipeline: what was reviewed is what runs.

Files are read when the pipeline is compiled and stand in it as text with their digest. KFP keeps a whole pipeline in
one object of a small cluster database, so more than a few scripts belongs into the image, which is named by digest too.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from interlock.gate.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from interlock.gate import Json

MAX_BYTES = 256 * 1024
"""Of all embedded files; a workflow of Argo may have 1 MiB as a whole."""


def embedded(code: Sequence[str | Path], *, folder: Path | None = None) -> dict[str, Json]:
    """The code as it is now: its ``parts``, as a training names them, and the ``files`` in them by path.

    Names that begin with a dot are left out, as they are when a training's code is held.

    Args:
        code: Files and folders of text; relative ones keep their path, of absolute ones the last part stays.
        folder: What relative paths are relative to; the current folder when not given.

    Raises:
        UsageError: One is not there, is no UTF-8 text, is a link, lies outside of the folder, or they are too large
            together.
    """
    from interlock.training.code import files_of

    parts: list[str] = []
    files: dict[str, Json] = {}
    for given in code:
        root = (folder or Path.cwd()) / given
        name = PurePosixPath(root.name if Path(given).is_absolute() else os.path.normpath(given))
        if ".." in name.parts or not root.exists():
            raise UsageError("this part of the training's code is not below the current folder", where=str(given))
        parts.append(str(name))
        for file in files_of(root):
            files[str(name / file.relative_to(root).as_posix())] = _file(file)
    size = sum(len(str(one["text"]).encode()) for one in files.values() if isinstance(one, dict))
    if size > MAX_BYTES:
        raise UsageError(
            f"the code is {size} bytes, and a pipeline carries {MAX_BYTES}",
            where=", ".join(str(one) for one in code),
            next_step="put it into the image, and name it with image_code=",
        )
    return {"parts": parts, "files": files}


@contextmanager
def unpacked(code: Json) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with the embedded files, and the parts in it, for as long as the context lasts.

    Args:
        code: As `embedded` made it; from the compiled pipeline.

    Raises:
        EvidenceError: A file is not what its digest says, or would lie elsewhere.
    """
    parts, files = (code.get("parts"), code.get("files")) if isinstance(code, Mapping) else (None, None)
    if not isinstance(parts, list) or not isinstance(files, Mapping):
        raise EvidenceError("embedded code is not as a pipeline carries it", where="options, code")
    with tempfile.TemporaryDirectory(prefix="interlock-code-") as made:
        folder = Path(made)
        for name, one in files.items():
            _write(folder, name, one)
        yield folder, tuple(_inside(str(part)) for part in parts)


def _file(file: Path) -> dict[str, Json]:
    try:
        if file.is_symlink():
            raise UsageError("the training's code holds a link", where=str(file), next_step="copy what it names")
        text = file.read_bytes().decode("utf-8")
        runs = os.access(file, os.X_OK)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"embedded code is UTF-8 text that can be read: {error}", where=str(file), next_step="put it into the image"
        ) from error
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text, **({"executable": True} if runs else {})}


def _write(folder: Path, name: str, one: Json) -> None:
    known = one if isinstance(one, Mapping) else {}
    content = str(known.get("text", "")).encode()
    if hashlib.sha256(content).hexdigest() != known.get("sha256"):
        raise EvidenceError("embedded code is not what its digest says", where=name)
    place = folder / _inside(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o700 if known.get("executable") is True else 0o600)


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise EvidenceError("embedded code has a name that leaves its folder", where=name)
    return name
