"""How long a decision takes in each engine: the helper, a server on loopback, and a program for each question.

    python benchmarks/policy/engines.py [--decisions 1000] [--starts 10]

A policy of seventy lines over 60 tasks, 20 artifacts and 30 findings. All engines answer the same question in one run,
in alternating rounds, so that a busy machine slows all of them; ratios are against the server. Each answer is compared
with the server's. Needs the opa program on PATH or in ~/go/bin.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.gate import Settings
from interlock.policy import Bundle, EmbeddedEngine, PolicyEngine, locate
from interlock.policy.engines.binary import BinaryEngine
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.server import ServerEngine

POLICY = Path(__file__).with_name("retrain.rego")
PATH = "benchmark.retrain.result"
CALLERS = 4
ROUND = 50


def document(tasks: int = 60, artifacts: int = 20, findings: int = 30) -> dict[str, Any]:
    """Six chains of ten tasks that begin with the gates; some findings are severe, and some of these are waived."""
    gates = ("data-validation", "data-poisoning", "artifact-scan")
    kinds = (*gates, "transform", "transform", "transform", "transform", "transform", "training", "deployment")
    digest = "0123456789abcdef" * 4
    return {
        "now": "2026-11-23T12:00:00Z",
        "registries": ["registry.example/", "mirror.example/"],
        "keys": [f"key-{n}" for n in range(5)],
        "tasks": [
            {
                "id": f"task-{n}",
                "kind": kinds[n % len(kinds)],
                "image": f"registry.example/team/step-{n}@sha256:{digest}",
                "upstream": [f"task-{n - 1}"] if n % 10 else [],
            }
            for n in range(tasks)
        ],
        "artifacts": [
            {"uri": f"s3://models/{n}", "signer": f"key-{n % 6}", "digest": {"sha256": digest}}
            for n in range(artifacts)
        ],
        "findings": [
            {"rule": f"rule-{n % 7}", "subject": f"s3://models/{n % 20}", "level": ("note", "warning", "error")[n % 3]}
            for n in range(findings)
        ],
        "exemptions": [
            {"rule": f"rule-{n % 7}", "subject": f"s3://models/{n % 20}", "until": "2027-01-01T00:00:00Z"}
            for n in range(2, 17, 3)
        ],
    }


@contextmanager
def server(opa: str) -> Iterator[ServerEngine]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [opa, "run", "--server", f"--addr=127.0.0.1:{port}", "--log-level=error", "--skip-version-check"]
    process = subprocess.Popen([*command, str(POLICY)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    engine = ServerEngine(Endpoint(scheme="http", host="127.0.0.1", port=port, timeout=30.0, retries=9))
    try:
        engine.evaluate(PATH, {})
        yield engine
    finally:
        engine.close()
        process.terminate()
        process.wait()


def timed(work: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def rate(engine: PolicyEngine, asked: dict[str, Any], expected: object, callers: int, decisions: int) -> float:
    """Decisions in a second by so many callers at once; an answer that is wrong ends the run."""

    def work(_caller: int) -> None:
        for _ in range(decisions // callers):
            if engine.evaluate(PATH, asked).value != expected:
                sys.exit(f"{engine.name} gave a wrong answer")

    with ThreadPoolExecutor(callers) as pool:
        begin = time.perf_counter()
        list(pool.map(work, range(callers)))
        return decisions // callers * callers / (time.perf_counter() - begin)


def line(name: str, values: list[float], peer: list[float]) -> None:
    p50, ratio = statistics.median(values), statistics.median(values) / statistics.median(peer)
    p99 = sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
    print(f"{name:<58}{p50:9.2f}{p99:9.2f}{ratio:9.2f}")


def warm(engines: dict[str, PolicyEngine], asked: dict[str, Any], decisions: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(max(1, decisions // ROUND)):
        for name, engine in engines.items():
            times = 2 if isinstance(engine, BinaryEngine) else ROUND
            taken[name] += timed(lambda engine=engine: engine.evaluate(PATH, asked), times)  # type: ignore[misc]
    print(f"{'warm, one caller; milliseconds':<58}{'p50':>9}{'p99':>9}{'ratio':>9}")
    for name, values in taken.items():
        line(name, values, taken["OPA server on loopback"])


def callers(engines: dict[str, PolicyEngine], asked: dict[str, Any], expected: object, decisions: int) -> None:
    print(f"\n{'decisions in a second':<58}{'one':>9}{'four':>9}{'four/one':>9}")
    for name, engine in engines.items():
        number = 20 if isinstance(engine, BinaryEngine) else decisions
        rate(engine, asked, expected, CALLERS, number)  # every helper has compiled
        pairs = [[rate(engine, asked, expected, n, number) for n in (1, CALLERS)] for _ in range(5)]
        one, four = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:<58}{one:9.0f}{four:9.0f}{statistics.median(f / o for o, f in pairs):9.2f}")


def cold(bundle: Bundle, opa: str, asked: dict[str, Any], starts: int) -> None:
    library = locate(Settings.load())
    ours: list[float] = []
    program: list[float] = []
    served: list[float] = []

    def first(engine: PolicyEngine) -> None:
        engine.evaluate(PATH, asked)

    for _ in range(starts):
        embedded, binary = EmbeddedEngine(bundle, library=library), BinaryEngine(bundle, program=Path(opa), deadline=60)
        ours += timed(lambda embedded=embedded: first(embedded), 1)  # type: ignore[misc]
        program += timed(lambda binary=binary: first(binary), 1)  # type: ignore[misc]
        served += timed(lambda: _started(opa, asked), 1)
        embedded.close()
        binary.close()
    print(f"\n{'cold: start, load, compile, first decision; milliseconds':<58}{'p50':>9}{'p99':>9}{'ratio':>9}")
    line("OPA server on loopback, until it answers", served, served)
    line("embedded: start, check of the hash, first decision", ours, served)
    line("opa program: version, capabilities, first decision", program, served)


def _started(opa: str, asked: dict[str, Any]) -> None:
    with server(opa) as engine:
        engine.evaluate(PATH, asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=10)
    options = parser.parse_args()
    opa = shutil.which("opa", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin")]))
    if opa is None:
        sys.exit("the opa program is not here: go install github.com/open-policy-agent/opa@latest")
    bundle, asked = Bundle.load(POLICY), document()
    with server(opa) as peer:
        embedded = EmbeddedEngine(bundle, library=locate(Settings.load()))
        engines: dict[str, PolicyEngine] = {
            "OPA server on loopback": peer,
            "embedded": embedded,
            "opa program": BinaryEngine(bundle, program=Path(opa), deadline=60),
        }
        expected = peer.evaluate(PATH, asked).value
        assert isinstance(expected, dict)
        assert all(engine.evaluate(PATH, asked).value == expected for engine in engines.values())
        helper = f"{embedded.isolation}, network {embedded.network}"
        print(
            f"OPA {peer.version}; helper: {helper}; {len(expected['reasons'])} reasons; load {os.getloadavg()[0]:.1f}\n"
        )
        warm(engines, asked, options.decisions)
        callers(engines, asked, expected, options.decisions)
        for engine in engines.values():
            engine.close()
    cold(bundle, opa, asked, options.starts)


if __name__ == "__main__":
    main()
