"""A training's code as a constant of the compiled pipeline: what was reviewed is what runs.

Files are read when the pipeline is compiled and stand in it as text with their digest. KFP keeps a whole pipeline in
one object of a small cluster database, so more than a few scripts belongs into the image, which is named by digest too.
"""

from __future__ import annotations

import hashlib
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
    """The files as they are now, by the path that they get in the pod.

    Args:
        code: Files and folders of Python and text; relative ones keep their path, of absolute ones the last part stays.
        folder: What relative paths are relative to; the current folder when not given.

    Raises:
        UsageError: One is not there, is no UTF-8 text, lies outside of the folder, or they are too large together.
    """
    found: dict[str, Json] = {}
    size = 0
    for given in code:
        root = (folder or Path.cwd()) / given
        name = PurePosixPath(root.name if Path(given).is_absolute() else Path(given).as_posix())
        if ".." in name.parts:
            raise UsageError("embedded code lies below the current folder", where=str(given))
        for file in _files(root):
            text = _text(file)
            size += len(text.encode())
            place = name / file.relative_to(root).as_posix() if root.is_dir() else name
            found[str(place)] = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}
    if size > MAX_BYTES:
        raise UsageError(
            f"the code is {size} bytes, and a pipeline carries {MAX_BYTES}",
            where=", ".join(str(one) for one in code),
            next_step="put it into the image, and name it with image_code=",
        )
    return found


@contextmanager
def unpacked(files: Mapping[str, Json]) -> Iterator[Path]:
    """A folder with the embedded files, for as long as the context lasts.

    Args:
        files: As `embedded` made them; from the compiled pipeline.

    Raises:
        EvidenceError: A file is not what its digest says, or would lie elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="interlock-code-") as made:
        folder = Path(made)
        for name, one in files.items():
            text, digest = _entry(name, one)
            if hashlib.sha256(text.encode()).hexdigest() != digest:
                raise EvidenceError("embedded code is not what its digest says", where=name)
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        yield folder


def _entry(name: str, one: Json) -> tuple[str, str]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not isinstance(one, Mapping):
        raise EvidenceError("embedded code has a name that leaves its folder", where=name)
    return str(one.get("text", "")), str(one.get("sha256", ""))


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    files = sorted(file for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    if not files:
        raise UsageError("this part of the training's code is not there", where=str(root))
    return files


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"embedded code is UTF-8 text that can be read: {error}", where=str(file), next_step="put it into the image"
        ) from error
