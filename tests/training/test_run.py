"""From a command or a function to a checked output, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from interlock.evidence.snapshot import take_snapshot
from interlock.evidence.store import Store
from interlock.gate import OpenSubject, UnavailableError, UsageError
from interlock.training import (
    FAILED_RUN,
    BwrapSandbox,
    Limits,
    RlimitsSandbox,
    Sandbox,
    TrainingRun,
    publish,
    run_training,
    staging_for,
    training_spec,
)

WRITES = "import sys; open(sys.argv[2] + '/model.txt', 'w').write('weights')"


def function_run(
    source: str, *, dataset: OpenSubject, tmp_path: Path, sandbox: Sandbox, name: str = "fit"
) -> TrainingRun:
    (tmp_path / "job.py").write_text(source)
    spec = training_spec(function=f"job:{name}", code=[tmp_path / "job.py"], seed=3)
    return run_training(spec, dataset, tmp_path / "box" / "out", sandbox=sandbox)


def test_a_command_reads_the_data_and_its_output_is_named_by_content(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        "import sys; open(sys.argv[2] + '/model.txt', 'w').write(open(sys.argv[1]).read())", sandbox=each_sandbox
    )
    assert not run.failed
    assert [(file.path, file.size) for file in run.output] == [("model.txt", 12)]
    assert run.level == each_sandbox.level


def test_paths_are_in_the_environment_too(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import os, sys
        assert sys.argv[1:] == [os.environ["INTERLOCK_DATA"], os.environ["INTERLOCK_OUT"]]
        assert os.environ["PYTHONHASHSEED"] == os.environ["INTERLOCK_SEED"] == "5"
        assert os.environ["OMP_NUM_THREADS"] == "1"
        import tempfile; tempfile.TemporaryFile().write(b"x")
        open(sys.argv[2] + "/m", "w").write("x")
        """,
        sandbox=each_sandbox,
        seed=5,
        environment={"OMP_NUM_THREADS": "1"},
    )
    assert not run.failed, run.log_tail


def test_two_runs_of_the_same_command_have_the_same_command_digest(bwrap: BwrapSandbox, run_script: Any) -> None:
    one, other = run_script(WRITES, sandbox=bwrap), run_script(WRITES + " ", sandbox=bwrap)
    assert one.code.digest != other.code.digest
    again = run_script(WRITES, sandbox=bwrap, seed=1)
    assert one.command_digest != again.command_digest


def test_a_failed_run_leaves_its_record_and_nothing_else(
    each_sandbox: Sandbox, run_script: Any, tmp_path: Path
) -> None:
    run: TrainingRun = run_script(
        "import sys; open(sys.argv[2] + '/half', 'w').write('x'); sys.exit(7)", sandbox=each_sandbox
    )
    out = tmp_path / "box1" / "out"
    assert [path.name for path in out.iterdir()] == [FAILED_RUN]
    assert json.loads((out / FAILED_RUN).read_text())["exit_status"] == 7
    assert (run.exit_status, run.output, run.output_bytes) == (7, (), 1)
    assert run.output_digest == take_snapshot(str(out)).digest


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("pass", "the training wrote no output", id="no-output"),
        pytest.param("os.mkdir(out + '/empty')", "the training wrote no output", id="empty-folder"),
        pytest.param("os.symlink('/etc/passwd', out + '/m')", "holds a link: 'm'", id="link-to-a-file"),
        pytest.param("os.symlink('/etc', out + '/m')", "holds a link: 'm'", id="link-to-a-folder"),
        pytest.param("os.mkfifo(out + '/m')", "holds a FIFO", id="fifo"),
        pytest.param("os.mknod(out + '/m', 0o140600)", "holds a socket", id="socket"),
        pytest.param("open(out + '/m', 'w'); os.link(out + '/m', out + '/n')", "second name", id="hard-link"),
        pytest.param("open(out + '/a\\nb', 'w')", "not plain text", id="line-break-in-a-name"),
        pytest.param("open(os.fsencode(out) + b'/\\xff', 'w')", "not plain text", id="name-that-is-not-utf8"),
        pytest.param(
            "os.mkdir(out + '/d'); os.symlink('/etc', out + '/d/m'); os.chmod(out + '/d', 0)",
            "holds a link: 'd/m'",
            id="link-in-a-closed-folder",
        ),
    ],
)
def test_output_that_may_not_leave_is_named(each_sandbox: Sandbox, run_script: Any, source: str, problem: str) -> None:
    run: TrainingRun = run_script(f"import os, socket, sys\nout = sys.argv[2]\n{source}", sandbox=each_sandbox)
    assert run.failed
    assert problem in run.problem
    assert run.output == ()


def test_rights_that_the_code_set_do_not_leave(bwrap: BwrapSandbox, run_script: Any, tmp_path: Path) -> None:
    run_script(WRITES + "; import os; os.chmod(sys.argv[2] + '/model.txt', 0o4777)", sandbox=bwrap)
    assert (tmp_path / "box1" / "out" / "model.txt").stat().st_mode & 0o7777 == 0o644


def test_a_run_killed_by_a_signal_counts_as_a_shell_does(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script("import os; os.kill(os.getpid(), 11)", sandbox=each_sandbox)
    assert run.exit_status == 128 + 11


def test_a_program_that_is_not_there_is_refused_before_anything_runs(dataset: OpenSubject, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not on the sandbox's PATH"):
        run_training(training_spec(command=["no-such-trainer"]), dataset, tmp_path / "out")


def test_a_program_that_the_sandbox_does_not_show_is_one_clear_message(
    bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    program = tmp_path / "trainer"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be started in the sandbox: No such file or directory"):
        run_training(training_spec(command=[str(program)]), dataset, tmp_path / "box" / "out", sandbox=bwrap)


def test_an_executable_script_is_run_from_its_held_copy(
    each_sandbox: Sandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    script = tmp_path / "train.sh"
    script.write_text('#!/bin/sh\necho $0; cp "$INTERLOCK_DATA" "$INTERLOCK_OUT/model"\n')
    script.chmod(0o755)
    spec = training_spec(command=["./train.sh"], code=["train.sh"], folder=tmp_path)
    run = run_training(spec, dataset, tmp_path / "box" / "out", sandbox=each_sandbox)
    assert not run.failed, run.log_tail
    assert str(script) not in run.log_tail


def test_a_folder_of_code_can_import_itself(each_sandbox: Sandbox, dataset: OpenSubject, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "parts").mkdir(parents=True)
    (project / "parts" / "__init__.py").write_text("WEIGHTS = 'w'")
    (project / "train.py").write_text(
        "import os, sys, parts; open(os.environ['INTERLOCK_OUT'] + '/m', 'w').write(parts.WEIGHTS)"
    )
    spec = training_spec(command=["python", "project/train.py"], code=["project"], folder=tmp_path)
    run = run_training(spec, dataset, tmp_path / "box" / "out", sandbox=each_sandbox)
    assert not run.failed, run.log_tail


def test_output_that_is_already_there_is_refused(dataset: OpenSubject, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        run_training(training_spec(command=["true"]), dataset, tmp_path / "out", sandbox=RlimitsSandbox())


def test_a_full_disk_is_worth_a_retry(dataset: OpenSubject, tmp_path: Path) -> None:
    spec = training_spec(command=["true"], limits=Limits(disk_reserve_bytes=1 << 60))
    with pytest.raises(UnavailableError, match="nearly full"):
        run_training(spec, dataset, tmp_path / "out", sandbox=RlimitsSandbox())


def test_our_variables_cannot_be_replaced(dataset: OpenSubject, tmp_path: Path) -> None:
    spec = training_spec(command=["true"], environment={"PYTHONPATH": "/x"})
    with pytest.raises(UsageError, match="sets this variable itself"):
        run_training(spec, dataset, tmp_path / "box" / "out", sandbox=RlimitsSandbox())


def test_a_function_returns_numbers(each_sandbox: Sandbox, dataset: OpenSubject, tmp_path: Path) -> None:
    run = function_run(
        "import random\n"
        "def fit(data, out):\n"
        "    (out / 'model.txt').write_text(data.read_text())\n"
        "    return {'loss': 0.5, 'rows': 1, 'drawn': random.random()}\n",
        dataset=dataset,
        tmp_path=tmp_path,
        sandbox=each_sandbox,
    )
    assert not run.failed, run.log_tail
    assert [file.path for file in run.output] == ["metrics.json", "model.txt"]
    assert json.loads(run.metrics) == {"loss": 0.5, "rows": 1, "drawn": 0.23796462709189137}


def test_a_function_returns_tensors_and_they_leave_as_safetensors(
    bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    run = function_run(
        "import torch\n"
        "def fit(data, out):\n"
        "    w = torch.randn(4, 3)\n"
        "    return {'w': w, 'tied': w, 'view': w.T, 'steps': torch.tensor(3), 'loss': 0.25}\n",
        dataset=dataset,
        tmp_path=tmp_path,
        sandbox=bwrap,
    )
    assert not run.failed, run.log_tail
    from safetensors.numpy import load_file

    tensors = load_file(tmp_path / "box" / "out" / "model.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "w": (4, 3),
        "tied": (4, 3),
        "view": (3, 4),
        "steps": (),
    }
    assert (tensors["w"] == tensors["view"].T).all()
    assert json.loads(run.metrics) == {"loss": 0.25}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            "import torch_that_is_not_there", "needs the module 'torch_that_is_not_there'", id="missing-module"
        ),
        pytest.param(
            "def fit(data, out):\n    import torch_x", "needs the module 'torch_x'", id="missing-module-inside"
        ),
        pytest.param("x = 1", "job has no function fit", id="no-such-function"),
        pytest.param("fit = 3", "job has no function fit", id="not-a-function"),
        pytest.param("def fit(data, out): return 3", "returned a int", id="not-a-mapping"),
        pytest.param("def fit(data, out): return {'m': object()}", "'m' is a object", id="neither-tensor-nor-number"),
        pytest.param("def fit(data, out): return {'loss': float('nan')}", "the training diverged", id="nan-metric"),
        pytest.param(
            "def fit(data, out): raise RuntimeError('bad rows')", "RuntimeError: bad rows", id="its-own-error"
        ),
    ],
)
def test_a_function_that_cannot_be_used_says_why_in_its_last_line(
    dataset: OpenSubject, tmp_path: Path, bwrap: BwrapSandbox, source: str, message: str
) -> None:
    run = function_run(source, dataset=dataset, tmp_path=tmp_path, sandbox=bwrap)
    assert run.exit_status == 1
    assert message in run.log_tail.splitlines()[-1]


def test_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from interlock.training import harness

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        __import__("torch")
    assert "pip install 'interlock[torch]'" in harness._missing(missing.value)


def test_what_is_published_is_what_was_judged(bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WRITES)
    target = tmp_path / "models" / "today"
    spec = training_spec(command=["python", str(tmp_path / "train.py"), "{data}", "{out}"])
    for _ in range(2):  # the second time it takes the place of the first
        with staging_for(str(target)) as staging:
            run = run_training(spec, dataset, staging, sandbox=bwrap)
            publish(staging, str(target))
        assert take_snapshot(str(target)).digest == run.output_digest
    assert sorted(path.name for path in target.parent.iterdir()) == [".today.interlock-output", "today"]


def test_the_held_output_has_the_digest_that_the_run_named(
    bwrap: BwrapSandbox, run_script: Any, tmp_path: Path
) -> None:
    run: TrainingRun = run_script(WRITES, sandbox=bwrap)
    with Store(tmp_path / "store").open(str(tmp_path / "box1" / "out")) as opened:
        assert opened.subject.digest == run.output_digest


def test_output_goes_to_an_object_store(bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WRITES)
    spec = training_spec(command=["python", str(tmp_path / "train.py"), "{data}", "{out}"])
    target = f"memory://models-{os.getpid()}/today"
    with staging_for(target) as staging:
        run = run_training(spec, dataset, staging, sandbox=bwrap)
        publish(staging, target)
    assert take_snapshot(target).digest == run.output_digest


def test_nothing_is_published_when_the_step_fails(tmp_path: Path) -> None:
    def step() -> None:
        with staging_for(str(tmp_path / "model")) as staging:
            (staging / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        step()
    assert list(tmp_path.iterdir()) == []


def test_a_persons_own_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no training put there"), staging_for(str(tmp_path / "project")):
        pass


def test_a_place_that_cannot_be_written_is_one_clear_message() -> None:
    with pytest.raises(UsageError, match="cannot be written"), staging_for("/proc/models/today"):
        pass


@pytest.mark.slow
def test_the_example_script_learns_digits_in_the_sandbox(bwrap: BwrapSandbox, tmp_path: Path) -> None:
    import hashlib

    import pandas as pd
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it has no stubs

    from interlock.gate import Subject

    digits = load_digits()
    columns = [f"p{row}{column}" for row in range(8) for column in range(8)]
    path = tmp_path / "digits.parquet"
    pd.DataFrame(digits.data, columns=columns).assign(label=digits.target).to_parquet(path)
    subject = Subject(name=path.name, uri=path.as_uri(), digest=hashlib.sha256(path.read_bytes()).hexdigest())
    script = Path(__file__).parents[2] / "dags_examples" / "airflow" / "train_digits.py"
    spec = training_spec(command=["python", str(script), "--data", "{data}", "--out", "{out}"])
    run = run_training(
        spec, OpenSubject(subject=subject, path=path, files=("",)), tmp_path / "box" / "out", sandbox=bwrap
    )
    assert not run.failed, run.log_tail
    assert {file.path for file in run.output} == {"metrics.json", "model.safetensors"}
    assert json.loads(run.metrics)["accuracy"] > 0.9
