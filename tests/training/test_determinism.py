"""A training is called repeatable only when two runs of it wrote the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import Observation, OpenSubject, UsageError
from interlock.training import Safeguards, Sandbox, TrainingRun, run_training, training_observation, training_spec
from interlock.training.repeat import DeterminismSafeguard, differences
from interlock.training.sandbox import PACKAGE, Ended, Job

Train = Callable[..., tuple[TrainingRun, Observation, Path]]


@pytest.fixture
def train(tmp_path: Path, dataset: OpenSubject) -> Train:
    def run(
        source: str, sandbox: Sandbox, *, function: str = "", check: bool = True, checkpoints: Path | None = None
    ) -> tuple[TrainingRun, Observation, Path]:
        script = tmp_path / "train.py"
        script.write_text(textwrap.dedent(source))
        told: dict[str, Any] = {"function": function, "code": [script]} if function else {
            "command": ["python", str(script), "{out}"]
        }  # fmt: skip
        spec = training_spec(seed=11, **told)
        room = tmp_path / f"box{len(list(tmp_path.glob('box*')))}" / "out"
        with Safeguards([DeterminismSafeguard(check=check)]) as beside:
            done = run_training(spec, dataset, room, sandbox=sandbox, safeguards=beside, checkpoints=checkpoints)
        seen = training_observation(done, spec, OpenSubject(subject=dataset.subject, path=room, files=()))
        return done, seen, room

    return run


def deterministic(seen: Observation) -> object:
    return json.loads(dict(seen.facts).get("training", "{}")).get("deterministic")


STEADY = """
    import os, sys
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8" and os.environ["OMP_NUM_THREADS"].isdecimal()
    assert not os.path.exists(os.environ["TMPDIR"] + "/left"), "the first run left something for the second one"
    open(os.environ["TMPDIR"] + "/left", "w").write("x")
    open(sys.argv[1] + "/model", "w").write(str(sorted({"a", "b"})))
"""


def test_two_equal_runs_are_deterministic(train: Train, each_sandbox: Sandbox) -> None:
    done, seen, room = train(STEADY, each_sandbox)
    assert not done.failed, done.log_tail
    assert deterministic(seen) is True
    assert [path.name for path in room.iterdir()] == ["model"]
    assert not [path for path in room.parent.iterdir() if path.name != "out"]


@pytest.mark.parametrize(
    ("write", "named"),
    [
        pytest.param("open(out + '/model', 'wb').write(os.urandom(8))", "'model'", id="random bytes"),
        pytest.param("open(out + '/' + os.urandom(4).hex(), 'w').write('x')", "'", id="another name"),
        pytest.param("os.symlink(os.urandom(4).hex(), out + '/m') if os.urandom(1)[0] > 300 else None; "
                     "open(out + '/n', 'w').write(str(__import__('time').time_ns()))", "'n'", id="the time"),
    ],
)  # fmt: skip
def test_runs_that_differ_are_not_and_the_finding_names_the_file(
    train: Train, bwrap: Sandbox, write: str, named: str
) -> None:
    done, seen, _ = train(f"import os, sys\nout = sys.argv[1]\n{write}\n", bwrap)
    assert not done.failed, done.log_tail
    assert deterministic(seen) is False
    found = next(finding for finding in seen.findings if finding.rule_id == "training.not-deterministic")
    assert named in found.message


class _FailsLater:
    """A sandbox whose second run of a job fails."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    def run(self, job: Job, **more: Any) -> Ended:
        self._runs += 1
        ended = self._sandbox.run(job, **more)
        return ended if self._runs == 1 else replace(ended, exit_status=1)


def test_a_second_run_that_fails_is_not_deterministic_and_the_first_ones_output_stays(
    train: Train, bwrap: Sandbox
) -> None:
    done, seen, room = train(STEADY, _FailsLater(bwrap))
    assert not done.failed
    assert deterministic(seen) is False
    assert (room / "model").read_text() == "['a', 'b']"


def test_who_does_not_check_claims_nothing(train: Train, bwrap: Sandbox) -> None:
    _, seen, _ = train(STEADY, bwrap, check=False)
    assert deterministic(seen) is None


def test_a_run_that_fails_is_not_repeated(train: Train, bwrap: Sandbox) -> None:
    done, seen, _ = train("raise SystemExit(3)", bwrap)
    assert done.exit_status == 3
    assert deterministic(seen) is None


def test_checkpoints_and_a_second_run_do_not_go_together(train: Train, bwrap: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(UsageError, match="without checkpoints"):
        train(STEADY, bwrap, checkpoints=tmp_path / "kept")


FUNCTION = """
    import random
    def train(data, out):
        import numpy, torch  # only now: what is loaded late is seeded, too
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory and not torch.backends.cudnn.benchmark
        return {"weights": torch.rand(4), "drawn": float(numpy.random.rand()) + random.random()}
"""


@pytest.mark.slow
def test_function_mode_seeds_what_the_function_loads_by_itself(train: Train, bwrap: Sandbox) -> None:
    pytest.importorskip("torch")
    done, seen, _ = train(FUNCTION, bwrap, function="train:train")
    assert not done.failed, done.log_tail
    assert deterministic(seen) is True


@pytest.mark.slow
def test_a_script_that_knows_nothing_of_it_repeats_under_the_module(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = tmp_path / "plain.py"
    script.write_text(
        "import sys, random, numpy, torch\n"
        "print(random.random(), numpy.random.rand(), torch.rand(2).tolist(), sys.argv[1:], __name__)\n"
    )
    words = [sys.executable, "-m", "interlock.training.determinism", str(script), "--epochs", "2"]
    environment = {"PYTHONPATH": str(PACKAGE.parent), "INTERLOCK_SEED": "5", "PATH": "/usr/bin:/bin"}
    said = {subprocess.run(words, check=True, capture_output=True, env=environment).stdout for _ in range(2)}
    assert len(said) == 1
    assert b"['--epochs', '2'] __main__" in said.pop()


def test_data_loader_workers_repeat_and_differ_by_epoch() -> None:
    torch = pytest.importorskip("torch")
    from interlock.training.determinism import loader_options

    class Noise(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return 6

        def __getitem__(self, row: int) -> float:
            import random

            return row + random.random()

    def epochs() -> list[list[float]]:
        loader = torch.utils.data.DataLoader(Noise(), batch_size=3, shuffle=True, **loader_options(3))
        return [[float(x) for batch in loader for x in batch] for _ in range(2)]

    import random

    random.seed(1)
    first = epochs()
    random.seed(1)
    assert epochs() == first
    assert first[0] != first[1]


def test_the_tensors_that_differ_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    for name, value in (("one", 1.0), ("other", 2.0)):
        (tmp_path / name).mkdir()
        save_file({"same": torch.zeros(3), "layer.bias": torch.full((2,), value)}, tmp_path / name / "m.safetensors")
    assert differences(tmp_path / "one", tmp_path / "other") == ("'m.safetensors' tensor 'layer.bias'",)
    assert differences(tmp_path / "one", tmp_path / "one") == ()
