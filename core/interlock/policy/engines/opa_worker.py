"""The helper process around the OPA library. Run as a script, never imported by Interlock's own processes.

``python -I -S opa_worker.py LIBRARY ACCEPTED`` where ACCEPTED is a comma-separated list of sha256 digests, or ``-``.

It speaks lines: a request is one JSON line that says what is wanted and one JSON line with the input or data, passed
on to OPA untouched; an answer is one line ``{"id": N, "envelope": <what OPA said>}``. Only the standard library is
imported, so a helper starts in a few hundredths of a second, wherever Interlock itself is installed.

Why a process of its own: a Go runtime does not survive `os.fork`, which Airflow uses, and an evaluation in Go cannot
be interrupted. A process can be killed.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import queue
import resource
import sys
import threading
from typing import BinaryIO

_MEMORY = 4 * 1024**3  # address space; Go alone reserves 1.6 GiB of it
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p)
_VERSION_MARK = b"\tgithub.com/open-policy-agent/opa\tv"  # in the build information of every Go binary


def main(library: str, accepted: str) -> None:
    """Serve requests on standard input until it ends."""
    answers = _private_output()
    network = _confine()
    try:
        bridge = Bridge(*open_checked(library, accepted))
    except (OSError, AttributeError, ValueError) as error:
        _say(answers, {"fatal": str(error)})
        sys.exit(1)
    _say(answers, {"ready": True, "version": bridge.version, "network": network})
    requests: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        head, body = requests.get()
        request = json.loads(head)
        envelope = bridge.serve(request, body.rstrip(b"\n"))
        answers.write(b'{"id": %d, "envelope": %s}\n' % (request["id"], envelope))
        answers.flush()


class Bridge:
    """The C functions of the library that are needed, for one OPA instance."""

    def __init__(self, library: ctypes.CDLL, version: str) -> None:
        self.version = version
        self._library = library
        library.OpaNew.restype = ctypes.c_uint64
        library.OpaFreeString.argtypes = [ctypes.c_void_p]
        library.OpaFreeString.restype = None
        for name, flags in {"OpaAddPolicy": 0, "OpaAddData": 0, "OpaEvalQuery": 2, "OpaEvalDocument": 2}.items():
            function = getattr(library, name)
            function.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_char_p] + [ctypes.c_int] * flags
            function.restype = ctypes.c_void_p  # a malloc'd string that must be given back
        library.OpaRegisterBuiltin.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_int, _CALLBACK]
        library.OpaRegisterBuiltin.restype = ctypes.c_void_p
        self._handle = library.OpaNew()
        self._told = b"null"
        self._tell = _CALLBACK(lambda _handle, _name, _arguments: _duplicate(b'{"result": %s}' % self._told))

    def serve(self, request: dict[str, object], body: bytes) -> bytes:
        """One request to one envelope: ``{"result": ...}`` or ``{"error": {"code", "message"}}``.

        An empty body is no input at all. ``coverage`` and ``trace`` ask for what policy authors want to see.
        """
        kind = request["kind"]
        flags = int(bool(request.get("coverage"))), int(bool(request.get("trace")))
        self._told = json.dumps(request.get("told")).encode()
        if kind == "load":
            return self._load(request["modules"], body)
        if kind == "document":
            return self._call("OpaEvalDocument", _text(request["path"]), body, *flags)
        if kind == "query":
            return self._call("OpaEvalQuery", _text(request["query"]), body, *flags)
        if kind == "register":  # a builtin without arguments that returns `told`: one compiled query asks many things
            return self._call("OpaRegisterBuiltin", _text(request["name"]), 0, self._tell)
        raise ValueError(f"unknown request {kind!r}")

    def _load(self, modules: object, data: bytes) -> bytes:
        """All rules and the data in one request: a turn for each would cost more than the work."""
        for path, source in modules if isinstance(modules, list) else ():
            said = self._call("OpaAddPolicy", _text(path), _text(source))
            if json.loads(said).get("error") is not None:
                return said
        return self._call("OpaAddData", b"", data)

    def _call(self, name: str, *arguments: object) -> bytes:
        pointer = getattr(self._library, name)(self._handle, *arguments)
        if not pointer:
            return b'{"error": {"code": "internal", "message": "the library returned nothing"}}'
        try:
            return ctypes.string_at(pointer).replace(b"\n", b" ")
        finally:
            self._library.OpaFreeString(pointer)


def open_checked(path: str, accepted: str) -> tuple[ctypes.CDLL, str]:
    """Load exactly the bytes that were digested: both go through one open file."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:  # noqa: PTH123
        if accepted != "-":
            digest = hashlib.sha256(content).hexdigest()
            if digest not in accepted.split(","):
                raise ValueError(f"{path} has sha256 {digest}, which is not a pinned one")
        found = content.find(_VERSION_MARK)
        start = found + len(_VERSION_MARK)
        version = content[start : start + 32].split(b"\t")[0].decode("ascii", "replace") if found >= 0 else "unknown"
        held = f"/proc/self/fd/{stream.fileno()}"
        return ctypes.CDLL(held if os.path.exists(held) else path), version  # noqa: PTH110


def _private_output() -> BinaryIO:
    """Keep standard output for answers alone: what Rego or Go print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _confine() -> str:
    """Take from this process what evaluating needs not; returns what was reached for the network."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    if not sys.platform.startswith("linux"):
        return "host"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    alone = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWNET) == 0
    return "none" if alone else "host"


def _read(stream: BinaryIO, requests: queue.SimpleQueue[tuple[bytes, bytes]]) -> None:
    """Hand on requests; end the whole process, evaluation and all, when whoever asks is gone."""
    while True:
        head, body = stream.readline(), stream.readline()
        if not body.endswith(b"\n"):
            os._exit(0)
        requests.put((head, body))


def _say(answers: BinaryIO, document: dict[str, object]) -> None:
    answers.write(json.dumps(document).encode() + b"\n")
    answers.flush()


def _duplicate(text: bytes) -> int:
    """A copy that Go may free: from C's allocator, not Python's."""
    strdup = ctypes.CDLL(None).strdup
    strdup.argtypes, strdup.restype = [ctypes.c_char_p], ctypes.c_void_p
    return int(strdup(text) or 0)


def _text(value: object) -> bytes:
    return str(value).encode()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
