"""Processes of their own that append receipts, to be raced and killed."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.evidence.bench import Bench

from interlock.evidence import Ledger
from interlock.gate import Subject

SUBJECT = Subject(name="s", uri="u", digest="a" * 64)


def start(folder: Path, url: str, count: int) -> tuple[BaseProcess, Connection]:
    """Start a process that appends `count` receipts and says so after each; real processes, quickly made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    folder.mkdir(exist_ok=True)
    hears, says = context.Pipe(duplex=False)
    process = context.Process(target=append, args=(folder, url, count, says))
    process.start()
    says.close()
    return process, hears


def append(folder: Path, url: str, count: int, says: Connection) -> None:
    """What the process does."""
    bench = Bench.at(folder)
    bench = replace(bench, ledger=Ledger.open(url))
    for _ in range(count):
        bench.receipt(SUBJECT)
        says.send("appended")


def heard(hears: Connection) -> int:
    """How many appends the process had reported when it ended."""
    count = 0
    while True:
        try:
            hears.recv()
        except EOFError:
            hears.close()
            return count
        count += 1
