"""A PostgreSQL server of its own: a fresh cluster in a temporary folder, on loopback and a free port."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCOUNT = "postgres"
"""PostgreSQL refuses to run as root; then Debian's account for it is used."""


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl, the newest version, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    usable = [folder for folder in found if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file()]
    return usable[-1] if usable else None


@contextmanager
def server(where: Path) -> Iterator[str]:
    """Run a server and give its URL; everything is gone afterwards.

    Args:
        where: From `binaries`.
    """
    # Not pytest's folder: nobody but its owner can reach into that one.
    folder = Path(tempfile.mkdtemp(prefix="interlock-postgres-"))
    password, port = secrets.token_hex(16), _free_port()
    try:
        (folder / "password").write_text(password)
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            for path in (folder, folder / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)
        data = folder / "data"
        # md5, as SCRAM's thousands of rounds in pure Python would be most of what these tests do.
        _run(where / "initdb", "-N", "-D", data, "-U", "interlock", "--auth=md5", f"--pwfile={folder / 'password'}")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        _run(where / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        try:
            yield f"postgresql+pg8000://interlock:{password}@127.0.0.1:{port}/postgres"
        finally:
            _run(where / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", ACCOUNT, "--", *words]
    # pg_ctl's server keeps what it inherits open, so its output must not be a pipe that somebody waits for.
    ended = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", check=False)
    if ended.returncode:
        raise RuntimeError(f"{words} ended with {ended.returncode}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
