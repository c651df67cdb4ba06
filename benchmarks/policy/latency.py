"""How long one decision takes: the helper process against the same OPA library called inside this process.

    python benchmarks/policy/latency.py [--decisions 2000] [--starts 10]

Both sides evaluate the shipped bundle over the same documents in one run, in alternating rounds, so that a busy
machine slows both. The difference is what a deadline, a kill and the safety of `os.fork` cost. `opa eval`, where it is
installed, shows what a process for each decision would cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from interlock.gate import Settings, Verdict
from interlock.policy import Bundle, EmbeddedEngine, Library, PolicyDecider, locate
from interlock.policy.bundles.bundle import packaged_folder
from interlock.policy.engines.helper_process import WORKER

PATH = "interlock.decision.result"
ROUND = 100


def document(findings: int = 30) -> dict[str, Any]:
    """An artifact scan of a model of `findings` files."""
    subject = {"name": "model", "uri": "file:///model", "digest": {"sha256": "a" * 64}}
    files = [f"model-{n:05}.safetensors" for n in range(findings)]
    where = {"row": None, "column": "", "offset": None}
    return {
        "gate": "artifact-scan",
        "profile": "strict",
        "stage": "gate",
        "subject": subject,
        "report": {
            "gate": "artifact-scan",
            "subject": subject,
            "tools": [{"name": "interlock", "version": "0.1.0"}],
            "configuration": {"profile": "torch-state-dict"},
            "started": "2026-11-23T12:00:00Z",
            "finished": "2026-11-23T12:00:01Z",
            "findings": [
                {
                    "rule_id": "artifact-scan.format",
                    "level": "note",
                    "message": "recognised as safetensors",
                    "location": {"path": file, **where},
                    "evidence": '{"format": "safetensors"}',
                }
                for file in files
            ],
            "measures": {
                name: {"value": value, "unit": ""}
                for name, value in {"files": findings, "bytes": 10**9, "unsafe_globals": 0, "opcodes": 0}.items()
            },
            "coverage": {"looked_at": files, "skipped": [], "failed": []},
        },
        "run": {
            "orchestrator": "airflow",
            "pipeline": "p",
            "run_id": "r",
            "task_id": "t",
            "attempt": 1,
            "map_index": -1,
        },
        "receipts": [],
        "requested": {},
        "now": "2026-11-23T12:00:02Z",
    }


def worker_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("opa_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_process(bundle: Bundle, library: Library) -> Callable[[dict[str, Any]], Any]:
    """The peer: the same library, no helper. Never do this in a process that forks."""
    module = worker_module()
    bridge = module.Bridge(*module.open_checked(str(library.path), "-"))
    modules = [[rule.path, rule.source] for rule in bundle.modules]
    bridge.serve({"kind": "load", "modules": modules}, json.dumps(dict(bundle.data)).encode())

    def evaluate(asked: dict[str, Any]) -> Any:
        envelope = json.loads(bridge.serve({"kind": "document", "path": PATH}, json.dumps(asked).encode()))
        return envelope["result"][0]["expressions"][0]["value"]

    return evaluate


def timed(work: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def line(name: str, values: list[float], peer: list[float] | None = None) -> None:
    p50 = statistics.median(values)
    ratio = "" if peer is None else f"{p50 / statistics.median(peer):10.2f}"
    print(f"{name:<52}{p50:9.2f}{p99(values):9.2f}{ratio}")


def warm(bundle: Bundle, library: Library, decisions: int) -> None:
    asked = document()
    engine = EmbeddedEngine(bundle, library=library)
    decider = PolicyDecider(engine, bundle)
    peer = in_process(bundle, library)
    assert peer(asked) == engine.evaluate(PATH, asked).value
    assert decider.decide(asked).verdict is not Verdict.UNDECIDED
    ours: list[float] = []
    theirs: list[float] = []
    whole: list[float] = []
    for _ in range(max(1, decisions // ROUND)):
        theirs += timed(lambda: peer(asked), ROUND)
        ours += timed(lambda: engine.evaluate(PATH, asked), ROUND)
        whole += timed(lambda: decider.decide(asked), ROUND)
    print(f"helper: {engine.isolation}, network {engine.network}, OPA {engine.version}; milliseconds\n")
    print(f"{'warm':<52}{'p50':>9}{'p99':>9}{'ratio':>10}")
    line("library in this process (peer)", theirs, theirs)
    line("library in the helper", ours, theirs)
    line("the same with both schema checks (decide)", whole, theirs)
    decider.close()


def cold(bundle: Bundle, library: Library, starts: int) -> None:
    asked = document()

    def start() -> None:
        engine = EmbeddedEngine(bundle, library=library)
        engine.evaluate(PATH, asked)
        engine.close()

    print(f"\n{'cold: start, load, compile, first decision':<52}{'p50':>9}{'p99':>9}{'ratio':>10}")
    ours = timed(start, starts)
    line("helper", ours)
    opa = shutil.which("opa") or shutil.which("opa", path=str(Path.home() / "go" / "bin"))
    if opa is None:
        print("opa eval: not installed here")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(asked, file)
        file.flush()
        command = [opa, "eval", "--bundle", str(packaged_folder()), "--input", file.name, f"data.{PATH}"]
        line(
            "opa eval (the helper stays, this starts each time)",
            timed(lambda: subprocess.check_output(command), starts),
            ours,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--starts", type=int, default=10)
    options = parser.parse_args()
    bundle, library = Bundle.load(), locate(Settings.load())
    cold(bundle, library, options.starts)  # before this process loads the library itself
    print()
    warm(bundle, library, options.decisions)


if __name__ == "__main__":
    main()
