"""Mutants of the corpus: what the scan allows, no loader uses for anything outside of the profile (`make fuzz`)."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.artifacts.corpus import CALL, SYSTEM, Entry, raw_zip, torch_entries
from tests.artifacts.corpus_checkpoints import EVIL, joblib_dumps
from tests.artifacts.corpus_containers import tar
from tests.artifacts.corpus_readers import joblib_in_plain_pickle
from tests.artifacts.fuzz import law, run
from tests.artifacts.fuzz.engine import Engine, Seed
from tests.artifacts.fuzz.law import LOADERS, BrokenLawError, Said, hold
from tests.artifacts.fuzz.opcode_mutations import program_of
from tests.artifacts.fuzz.seeds import quick_seeds
from tests.artifacts.harmless import array
from tests.artifacts.oracle_client import NoOracleError, Oracle

ENDLESS = b"\x80\x04})" + b"2\x86" * 60 + b"Ns."
"""A key that takes years to hash."""
KEPT = sorted(run.SEEDS.glob("*.bin"))
PLAIN = [
    Seed(name="call", family="pickle", profile="", data=CALL),
    Seed(name="zip", family="torch-zip", profile="torch-state-dict", data=raw_zip(torch_entries())),
    Seed(name="tar", family="tar", profile="numpy", data=tar([("a.pkl", b"N.")])),
]


@pytest.fixture(scope="module")
def loaders() -> Iterator[Oracle]:
    running = Oracle(LOADERS)
    yield running
    running.close()


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_mutant_that_failed_once_does_not_fail_again(file: Path, loaders: Oracle) -> None:
    hold(file.read_bytes(), file.stem.rpartition("-")[0], loaders)


MEMO = next(case.files[""] for case in joblib_dumps() if case.name.endswith("memo-of-pickle-load"))
IMPORTING = next(case.files[""] for case in joblib_in_plain_pickle() if case.name.endswith("imports-a-module"))
ACTING = {
    "pickle": EVIL,
    "second pickle": b"N." + CALL,
    "torch archive": raw_zip(torch_entries(EVIL)),
    "member of a zip": raw_zip([Entry(name="x", data=EVIL)]),
    "member of a tar": tar([("x", EVIL)]),
    "stream": zlib.compress(EVIL),
    "tar in a stream": zlib.compress(tar([("x", EVIL)])),
    "array of objects": array(np.array([None]))[:128] + EVIL,
    "dump of joblib": MEMO,
    "second load of one unpickler": SYSTEM + b"p0\n0N.g0\n(S'true'\ntR.",
    "frame longer than the file": b"\x95" + b"\xff" * 7 + b"\x7f" + CALL,
    "import by a dump of joblib": IMPORTING,
}


@pytest.mark.parametrize("name", ACTING)
def test_law_is_broken_where_a_scan_would_allow_a_call(
    name: str, loaders: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hold(ACTING[name], "numpy", loaders)[0] is not Said.ALLOWED
    monkeypatch.setattr(law, "scanned", lambda *_: (Said.ALLOWED, "pickle"))
    with pytest.raises(BrokenLawError, match=r"system|this"):
        hold(ACTING[name], "numpy", loaders)


def test_same_number_and_seed_give_the_same_mutant() -> None:
    first, again = ([made.data for made in map(Engine(PLAIN, seed).mutant, range(60))] for seed in (1, 1))
    assert first == again
    assert len(set(first)) > 40
    assert first != [made.data for made in map(Engine(PLAIN, 2).mutant, range(60))]


def test_program_of_a_pickle_is_the_pickle() -> None:
    for data in (EVIL, CALL + CALL, EVIL + b"\xff\xff", b"junk"):
        assert b"".join(program_of(data)) == data
    assert program_of(EVIL)[-2:] == (b"R", b".")


@pytest.mark.slow
def test_loaders_killed_by_one_file_read_the_next(loaders: Oracle) -> None:
    assert loaders.ask(ENDLESS)["error"] == "killed"
    assert loaders.ask(EVIL)["readings"][0]["calls"] == [["os", "system"]]


def test_oracle_that_is_none_is_no_proof() -> None:
    with pytest.raises(NoOracleError, match="no_such_loaders"):
        hold(b"{}", "numpy", Oracle(("-m", "tests.artifacts.fuzz.no_such_loaders")))


def test_loaders_that_die_of_many_files_make_a_run_blind() -> None:
    table = run.Table()
    for number in range(200):
        table.add("pickle", Said.ALLOWED.value, killed=number < 2)
    assert not table.blind
    table.add("pickle", Said.ALLOWED.value, killed=True)
    assert table.blind


def test_answer_that_nobody_waited_for_is_not_taken_for_the_next() -> None:
    def alarmed(*_: object) -> None:
        raise TimeoutError

    with closing(Oracle()) as oracle:
        assert oracle.ask(b"N.")["calls"] == []
        before = signal.signal(signal.SIGALRM, alarmed)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError):
            oracle.ask(ENDLESS)
        signal.signal(signal.SIGALRM, before)
        assert oracle.ask(EVIL)["calls"] == [["os", "system"]]


def test_process_that_dies_before_it_tells_its_number_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        os._exit(9)

    monkeypatch.setattr(run, "Oracle", dies)
    table = run.run(PLAIN, mutants=3, jobs=1, seed=1, keep=tmp_path, tell=io.StringIO())
    assert table.failures == 3


def test_mutants_that_crash_or_end_the_process_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(PLAIN, 1)
    crashing, ending = engine.mutant(1).data, engine.mutant(2).data

    def scanned(data: bytes, _: str) -> tuple[Said, str]:
        if data == ending:
            os._exit(9)
        if data == crashing:
            raise IndexError("no such place")
        return Said.REFUSED, ""

    monkeypatch.setattr(law, "scanned", scanned)
    table = run.run(PLAIN, mutants=6, jobs=1, seed=1, keep=tmp_path, tell=io.StringIO())
    assert table.failures == 2
    assert "| all | 6 | 0 | 4 | 0 | 0 | 2 |" in table.text()
    reasons = {file.with_suffix(".bin").read_bytes(): json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert "no such place" in reasons[crashing]["why"]
    assert reasons[ending] == {"made_of": engine.mutant(2).seed.name, "number": 2, "seed": 1,
                               "why": "it ended the process: 9"}  # fmt: skip


@pytest.mark.slow
def test_5000_mutants_keep_the_law(tmp_path: Path) -> None:
    table = run.run(quick_seeds(), mutants=5_000, jobs=1, seed=20_261_127, keep=tmp_path, tell=sys.stderr)
    assert table.failures == 0, table.text()
    assert not table.blind
    allowed = sum(count for (_, column), count in table.counts.items() if column == Said.ALLOWED.value)
    assert allowed > 300
