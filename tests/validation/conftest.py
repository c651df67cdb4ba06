"""What the validation tests share: a subject held still without a store, and the warnings of Great Expectations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.gate import OpenSubject, Subject

# Great Expectations 1.24.1 imports both modules at its own import; Python 3.11 deprecates them.
_GX_IMPORT = "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(_GX_IMPORT))


Hold = Callable[[Path], OpenSubject]


@pytest.fixture
def hold() -> Hold:
    """An opened subject over a path that the test itself keeps still."""

    def opened(path: Path) -> OpenSubject:
        files: tuple[str, ...] = ("",)
        if path.is_dir():
            files = tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
        content = b"".join((path / file if file else path).read_bytes() for file in files)
        digest = hashlib.sha256(content).hexdigest()
        return OpenSubject(subject=Subject(name=path.name, uri=path.as_uri(), digest=digest), path=path, files=files)

    return opened
