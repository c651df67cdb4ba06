"""The guard in front of a user's own step, in its pod: the step runs on the held bytes, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.evidence.bench import new_signer, signed, statement_in
from tests.kubeflow.pods import GATES, Pod, artifact

from interlock.evidence import authentic
from interlock.gate import Settings, Stage, UsageError, Verdict
from interlock.kubeflow.guard import COMMAND, Guarded, main
from interlock.runner import LocalRunner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunner]:
    """One deployment for all: the bytes of each test are its own."""
    home = str(tmp_path_factory.mktemp("home"))
    environ = {"HOME": home, "INTERLOCK_HOME": home, "INTERLOCK_PROFILE": "dev"}
    with LocalRunner(Settings.load(environ)) as opened:
        yield opened


@pytest.fixture
def pod(runner: LocalRunner, tmp_path: Path) -> Pod:
    """A step whose data no gate has seen yet."""
    return Pod(runner, tmp_path / "pod")


@pytest.fixture
def alone(home: Path, tmp_path: Path) -> Iterator[Pod]:
    """The same in a deployment of its own, which the environment names."""
    with LocalRunner(Settings.load()) as opened:
        yield Pod(opened, tmp_path / "pod")


def newest_receipt(runner: LocalRunner) -> tuple[Stage, str, Verdict]:
    receipt = authentic(runner.ledger.entries(limit=1)[0].envelope, runner.keyring).receipt
    return receipt.stage, receipt.gate, receipt.verdict


def test_the_step_runs_on_a_held_copy_of_what_was_checked(pod: Pod) -> None:
    pod.pass_gates()
    checked = pod.data.read_text()
    pod.command[2] = (
        "import os, pathlib, sys; place = pathlib.Path(sys.argv[1]); assert not place.stat().st_mode & 0o222;"
        f"pathlib.Path({str(pod.root)!r}, 'data').write_text('poison');"
        "pathlib.Path(sys.argv[2]).write_text(f'{place}\\n{place.read_text()}')"
    )
    assert pod.run() == (0, "")
    place, _, text = pod.trained.read_text().partition("\n")
    assert text == checked
    assert place != str(pod.data)
    assert Path(place).name == "data"
    assert newest_receipt(pod.runner) == (Stage.GUARD, "training", Verdict.ALLOW)


def test_a_lightweight_component_reads_the_held_copy_by_path_and_uri(pod: Pod) -> None:
    """The real executor of kfp, on the executor input that the guard rewrote."""
    pod.pass_gates()
    component = pod.root / "component.py"
    component.write_text(
        "from kfp import dsl\nfrom kfp.dsl import *\n"
        "def train(data: dsl.Input[dsl.Dataset], epochs: int):\n"
        "    text = open(data.path).read() + open(data.uri).read()\n"
        f"    open({str(pod.trained)!r}, 'w').write(f'{{text}}{{epochs}}')\n"
    )
    pod.artifacts["data"]["metadata"] = {"digest": "sha256:forged", "verdict": "ALLOW"}
    pod.command = [sys.executable, "-m", "kfp.dsl.executor_main", "--component_module_path", str(component)]
    pod.command += ["--function_to_execute", "train", "--executor_input", pod.executor_input()]
    assert pod.run() == (0, "")
    assert pod.trained.read_text() == pod.data.read_text() * 2 + "3"


@pytest.mark.parametrize("status", [0, 1, 7])
def test_the_end_of_the_step_is_the_end_of_the_guard(pod: Pod, status: int) -> None:
    pod.pass_gates()
    pod.command[2] = f"import sys; sys.exit({status})"
    assert pod.run() == (status, "")


def test_a_step_that_is_not_in_the_image_fails_as_in_a_shell(pod: Pod, capfd: pytest.CaptureFixture[str]) -> None:
    pod.pass_gates()
    pod.command = ["no-such-trainer", str(pod.data)]
    assert pod.run() == (127, "")
    assert "no-such-trainer is not in this image" in capfd.readouterr().err


def nothing_recorded(pod: Pod) -> None:
    pod.hand_over(GATES[0], "")
    pod.hand_over(GATES[1], "")


def no_receipt_artifact(pod: Pod) -> None:
    pod.pass_gates()
    del pod.artifacts["interlock_receipt_1"]


def no_receipt_file(pod: Pod) -> None:
    pod.pass_gates()
    (pod.root / "interlock_receipt_1").unlink()


def receipt_for_other_bytes(pod: Pod) -> None:
    other = pod.root / "other"
    other.write_text("a,b\n3,4\n")
    pod.pass_gates(GATES[1:])
    pod.receipt(GATES[0])
    pod.hand_over(GATES[0], pod.receipt(GATES[0], of=other))


def bytes_changed_since_the_gate(pod: Pod) -> None:
    pod.pass_gates()
    pod.data.write_text("poison")


def denied_since(pod: Pod) -> None:
    """The receipts that were handed over are genuine, but the newest in the ledger says no."""
    pod.pass_gates()
    pod.receipt(GATES[1], Verdict.DENY)


def denied(pod: Pod) -> None:
    pod.pass_gates(GATES[:1])
    pod.hand_over(GATES[1], pod.receipt(GATES[1], Verdict.DENY))


def forged_by_a_stranger(pod: Pod) -> None:
    pod.pass_gates(GATES[:1])
    statement = statement_in(pod.receipt(GATES[1]))
    pod.hand_over(GATES[1], signed(statement, new_signer()))


def metadata_in_place_of_a_receipt(pod: Pod) -> None:
    pod.pass_gates()
    forged = {"verdict": "ALLOW", "receipt_id": "01J", "digest": "sha256:" + "0" * 64}
    kind = {"schemaTitle": "system.InterlockReceipt", "schemaVersion": "0.0.1"}
    (pod.root / "interlock_receipt_2").write_text('{"verdict": "ALLOW"}')
    pod.artifacts["interlock_receipt_2"] = artifact(pod.root / "interlock_receipt_2", metadata=forged, type=kind)


def a_file_imported_in_place_of_the_gates_receipt(pod: Pod) -> None:
    """What an importer brings: a genuine receipt of yesterday's bytes, under the name of the gate's output."""
    yesterday = pod.root / "yesterday"
    yesterday.write_text("a,b\n0,0\n")
    old = pod.receipt(GATES[1], of=yesterday, run_id="yesterday")
    pod.pass_gates(GATES[:1])
    pod.hand_over(GATES[1], old)


def a_policy_gate_left_out(pod: Pod) -> None:
    """Requiring less than policy does is of no use."""
    pod.pass_gates(GATES[:1])


def another_executor_input_for_the_step(pod: Pod) -> None:
    """The guard is shown clean data, the step is given other data."""
    pod.pass_gates()
    dirty = Pod(pod.runner, pod.root / "dirty")
    pod.command[3] = dirty.executor_input()


def a_command_that_does_not_name_its_subject(pod: Pod) -> None:
    pod.pass_gates()
    (pod.root / "hidden").write_text("poison")
    pod.command[3] = str(pod.root / "hidden")


def two_artifacts_in_one_input(pod: Pod) -> None:
    pod.pass_gates()
    text = json.loads(pod.executor_input())
    pod.artifacts["data"] = text["inputs"]["artifacts"]["data"]["artifacts"][0]
    pod.executor_input = lambda: json.dumps(  # type: ignore[method-assign]
        {**text, "inputs": {**text["inputs"], "artifacts": {"data": {"artifacts": [pod.artifacts["data"]] * 2}}}}
    )


@pytest.mark.parametrize(
    ("attack", "status", "told"),
    [
        pytest.param(nothing_recorded, 1, "the receipt is empty", id="nothing was recorded"),
        pytest.param(no_receipt_artifact, 1, "0 artifacts in place of one", id="missing receipt artifact"),
        pytest.param(no_receipt_file, 1, "the receipt is not there", id="missing receipt file"),
        pytest.param(receipt_for_other_bytes, 1, "speaks for other bytes", id="receipt for other bytes"),
        pytest.param(bytes_changed_since_the_gate, 1, "speaks for other bytes", id="bytes changed since the gate"),
        pytest.param(denied_since, 1, "no data-poisoning receipt opens", id="denied since"),
        pytest.param(denied, 1, "says DENY", id="denied"),
        pytest.param(forged_by_a_stranger, 1, "no trusted key signed it", id="forged by a stranger"),
        pytest.param(metadata_in_place_of_a_receipt, 1, "has exactly payload", id="metadata in place of a receipt"),
        pytest.param(
            a_file_imported_in_place_of_the_gates_receipt, 1, "speaks for other bytes", id="a receipt that was imported"
        ),
        pytest.param(a_policy_gate_left_out, 1, "no data-poisoning receipt opens", id="a gate of policy left out"),
        pytest.param(another_executor_input_for_the_step, 1, "another executor input", id="another executor input"),
        pytest.param(a_command_that_does_not_name_its_subject, 1, "names its subject nowhere", id="subject unnamed"),
        pytest.param(two_artifacts_in_one_input, 1, "2 artifacts in place of one", id="two artifacts"),
    ],
)
def test_the_step_never_begins(pod: Pod, attack: Callable[[Pod], None], status: int, told: str) -> None:
    attack(pod)
    ended, why = pod.run()
    assert ended == status
    assert not pod.trained.exists()
    assert told in why


def test_a_refusal_of_what_was_handed_over_stands_in_the_ledger(pod: Pod) -> None:
    no_receipt_file(pod)
    status, why = pod.run()
    assert status == 1
    stage, gate, verdict = newest_receipt(pod.runner)
    assert (stage, gate) == (Stage.GUARD, "training")
    assert verdict is not Verdict.ALLOW
    entry = pod.runner.ledger.get(pod.runner.ledger.entries(limit=1)[0].receipt_id)
    assert entry.report is not None
    assert "the receipt is not there" in entry.report
    assert f"interlock ledger show {entry.receipt_id}" in why


def test_data_that_is_nowhere_is_no_refusal_but_opens_nothing(pod: Pod) -> None:
    pod.pass_gates()
    pod.data.unlink()
    assert pod.run()[0] == 2
    assert not pod.trained.exists()


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [False, True])
def test_a_step_of_two_datasets_is_held_by_two_guards(alone: Pod, spoiled: bool) -> None:
    held_out = alone.root / "held-out"
    held_out.write_text("a,b\n5,6\n")
    alone.artifacts["held_out"] = artifact(held_out)
    alone.command[2] = "import sys; open(sys.argv[3], 'w').write('\\n'.join(sys.argv[1:3]))"
    alone.command.insert(4, str(held_out))
    alone.pass_gates()
    own = alone.guarded()
    for number, gate in enumerate(GATES, start=3):
        name = f"interlock_receipt_{number}"
        (alone.root / name).write_text(alone.receipt(gate, of=held_out))
        alone.artifacts[name] = artifact(alone.root / name)
    if spoiled:
        alone.data.write_text("poison")
    given = alone.executor_input()
    inner = replace(own, executor_input=given).words()[len(COMMAND) :]
    outer = Guarded(
        step="training",
        subject="held_out",
        receipts=("interlock_receipt_3", "interlock_receipt_4"),
        requires=GATES,
        executor_input=given,
        command=(sys.executable, *COMMAND[1:], *inner),
    )
    assert main(outer.words()[len(COMMAND) :]) == (1 if spoiled else 0)
    assert alone.trained.exists() is not spoiled
    if not spoiled:
        first, second = alone.trained.read_text().splitlines()
        assert {Path(first).read_text(), Path(second).read_text()} == {alone.data.read_text(), held_out.read_text()}
        assert str(alone.root) not in first + second


@pytest.mark.slow
def test_a_ledger_that_cannot_be_read_opens_nothing(alone: Pod, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    alone.pass_gates()
    assert main(alone.arguments()) == 0
    alone.trained.unlink()
    (home / "ledger.db").write_bytes(b"no database")
    assert main(alone.arguments()) == 3
    assert not alone.trained.exists()
    told = capfd.readouterr().err
    assert "interlock guard: open on sha256:" in told
    assert "interlock guard: the step does not begin: " in told


def test_the_guard_needs_no_kfp() -> None:
    words = "import sys; sys.modules['kfp'] = None; from interlock.kubeflow import guard, presented"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_arguments_are_read_as_they_are_written(pod: Pod) -> None:
    pod.hand_over(GATES[0], "{}")
    assert Guarded.parse(pod.arguments()) == pod.guarded()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda words: [word for word in words if word != "--"], "no `--`", id="no end of its own"),
        pytest.param(lambda words: words[: words.index("--") + 1], "no command", id="no command"),
        pytest.param(lambda words: words[2:], "--step", id="no step"),
        pytest.param(lambda words: ["--step", "deployment", *words], "--step is there twice", id="two steps"),
        pytest.param(lambda words: ["--subject", "other", *words], "--subject is there twice", id="two subjects"),
        pytest.param(lambda words: ["--step", "nothing", *words[2:]], "invalid choice", id="another step"),
        pytest.param(lambda words: ["--profile", "dev", *words], "unrecognized", id="a profile"),
        pytest.param(lambda words: ["--ste", "training", *words[2:]], "--ste", id="shortened"),
        pytest.param(lambda words: ["loose", *words], "unrecognized", id="a loose word"),
        pytest.param(lambda words: [*words[:4], *words[6:]], "--receipt", id="no receipt"),
        pytest.param(lambda words: ["--receipt", "interlock_receipt_9", *words], "2 receipts for 1", id="one too many"),
        pytest.param(lambda words: ["--receipt", "interlock_receipt_1", *words], "named twice", id="one twice"),
    ],
)
def test_tampered_arguments_are_a_misuse(pod: Pod, change: Callable[[list[str]], list[str]], told: str) -> None:
    pod.hand_over(GATES[0], "{}")
    words = change(pod.arguments())
    with pytest.raises(UsageError) as refused:
        Guarded.parse(words)
    assert told in refused.value.what
    assert main(words) == 2
    assert not pod.trained.exists()
