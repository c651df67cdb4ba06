"""Reads bytes as the loaders do, down to the pickles inside, and unpickles those with the stubs of the oracle.

A program of its own, as `tests.artifacts.oracle` is. What opens containers are the readers that loaders use: `zipfile`,
torch's own, `tarfile`, the streams of the standard library, numpy's header and joblib's unpickler. A child that is
killed by a hostile file is made anew by a fork, so that torch is imported once.
"""

from __future__ import annotations

import bz2
import copyreg
import gzip
import io
import json
import lzma
import os
import resource
import signal
import struct
import sys
import tarfile
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import joblib.numpy_pickle as joblib_pickle  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import torch
from tests.artifacts.oracle import CALLS, NAMES, TOUCHED, SlowStub, Stub, answer, asked, named

SECONDS = 5
MEMORY = 1 << 30
"""Bytes that a child may take beyond what it begins with."""
_MOST = 16 << 20
_DEEPEST = 3
_PICKLES_IN_A_ROW = 5
"""As many as torch reads from a file of its older format."""

Reading = tuple[str, dict[str, Any]]
Inner = Iterator[tuple[str, bytes]]


class _JoblibStub(joblib_pickle.NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    """joblib's unpickler with stubs; what describes an array is real, as the bytes of arrays have to be skipped."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return joblib_pickle.NumpyArrayWrapper
        if (module, name) in {("numpy", "dtype"), ("numpy", "ndarray")}:
            return getattr(np, name)
        return named(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return asked(pid)


def _joblib(data: bytes) -> dict[str, Any]:
    for seen in (NAMES, CALLS, TOUCHED):
        seen.clear()
    error = ""
    file = io.BytesIO(data)
    try:
        _JoblibStub("", file, ensure_native_byte_order=False).load()
    except Exception as problem:  # noqa: BLE001
        error = type(problem).__name__
    return {"names": list(NAMES), "calls": list(CALLS), "touched": [], "error": error}


def _zip(data: bytes) -> Inner:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist()[:32]:
            with archive.open(info) as member:
                yield f"zip:{info.filename}", member.read(_MOST)


def _torch(data: bytes) -> Inner:
    yield "torch:data.pkl", torch._C.PyTorchFileReader(io.BytesIO(data)).get_record("data.pkl")


def _tar(data: bytes) -> Inner:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for count, info in enumerate(archive):
            held = archive.extractfile(info) if info.isreg() else None
            if held is not None:
                yield f"tar:{info.name}", held.read(_MOST)
            if count == 32:
                return


def _stream(opened: Callable[[io.BytesIO], Any]) -> Callable[[bytes], Inner]:
    def read(data: bytes) -> Inner:
        with opened(io.BytesIO(data)) as file:
            yield "stream", file.read(_MOST)

    return read


def _zlib(data: bytes) -> Inner:
    yield "stream", zlib.decompressobj().decompress(data, _MOST)


def _numpy(data: bytes) -> Inner:
    file = io.BytesIO(data)
    first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    _, _, dtype = read(file)
    if dtype.hasobject:
        yield "numpy", data[file.tell() :]


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Inner]], ...] = (
    (lambda data: b"PK\x05\x06" in data, _zip),
    (lambda data: data.startswith(b"PK\x03\x04"), _torch),
    (lambda data: data[257:262] == b"ustar" or len(data) % 512 == 0, _tar),
    (lambda data: data.startswith(b"\x1f\x8b"), _stream(lambda file: gzip.GzipFile(fileobj=file))),
    (lambda data: data.startswith(b"BZh"), _stream(bz2.BZ2File)),
    (lambda data: data.startswith((b"\xfd7zXZ", b"]\0\0")), _stream(lzma.LZMAFile)),
    (lambda data: data.startswith(b"x"), _zlib),
    (lambda data: data.startswith(b"\x93NUMPY"), _numpy),
)


def readings(data: bytes, how: str = "", depth: int = 0) -> Iterator[Reading]:
    """What every loader would do with these bytes."""
    for reader in (Stub, SlowStub):
        for again in (False, True):
            yield how or "raw", answer(data, reader=reader, most=_PICKLES_IN_A_ROW, again=again)
    if b"NumpyArrayWrapper" in data:
        yield f"{how}joblib", _joblib(data)
    if depth == _DEEPEST:
        return
    for fits, read in _READERS:
        if not fits(data):
            continue
        try:
            for name, inner in read(data):
                yield from readings(inner, f"{how}{name}/", depth + 1)
        except Exception:  # noqa: BLE001 (what a reader refuses, no loader gets)
            continue


def _serve() -> None:
    held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    # An array of objects in a dump of joblib is a pickle of its own.
    joblib_pickle.pickle = types.SimpleNamespace(load=lambda file: Stub(file).load())
    copyreg._extension_registry.clear()  # type: ignore[attr-defined]
    while header := sys.stdin.buffer.read(4):
        # Hashing a key that branches takes years and looks at no signal, so the default action has to end it.
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        data = sys.stdin.buffer.read(struct.unpack("<I", header)[0])
        said = [{"how": how, **found} for how, found in readings(data) if found["names"] or found["touched"]]
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(json.dumps({"readings": said, "error": ""}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Answer until the input ends."""
    while True:
        child = os.fork()
        if child == 0:
            _serve()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        sys.stdout.write('{"readings": [], "error": "killed"}\n')
        sys.stdout.flush()


if __name__ == "__main__":
    main()
