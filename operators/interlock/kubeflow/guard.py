"""The guard in front of a step of the user's own, inside its pod: ``python3 -m interlock.kubeflow.guard``.

`interlock.kubeflow.gated` puts it before the step's command. It holds the bytes of the step's subject, checks the
receipts that the pipeline handed over, lets the ordinary guard decide, and only then runs the command, on the held
copy. How strictly comes from the deployment's settings and policy; the arguments can add gates, never take one away.
It needs no kfp.

Exit status: the step's own once the guard is open; 1 when it stays shut, 3 when nobody could tell, 2 when it is used
wrongly. The step has not begun in any of the last three.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.gate import InterlockError, Settings, UsageError
from interlock.kubeflow.child import run_child, say
from interlock.kubeflow.executor_input import ExecutorInput, check_command, moved_command
from interlock.kubeflow.identity import run_identity

if TYPE_CHECKING:
    from interlock.runner import LocalRunner

STEPS = ("training", "deployment")
COMMAND = ("python3", "-m", "interlock.kubeflow.guard")
"""What a guarded step's command begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the guard is asked to do.

    Args:
        step: ``training`` or ``deployment``.
        subject: Input with what the step is about to use.
        receipts: Inputs with receipts.
        requires: Kinds of gate, one for each of them.
        executor_input: As KFP filled it in.
        command: The step's own.
    """

    step: str
    subject: str
    receipts: tuple[str, ...]
    requires: tuple[str, ...]
    executor_input: str
    command: tuple[str, ...]

    @property
    def behind(self) -> Guarded | None:
        """The guard of another subject that the command begins with; None where the step itself comes next.

        Raises:
            UsageError: As `parse`.
        """
        beginning, rest = self.command[: len(COMMAND)], self.command[len(COMMAND) :]
        # Which Python runs it is the image's; kfp.local names another one.
        return Guarded.parse(rest) if beginning[1:] == COMMAND[1:] else None

    def words(self) -> list[str]:
        """The command line that `parse` reads; the step's own command stands behind its ``--``."""
        receipts = [word for name in self.receipts for word in ("--receipt", name)]
        requires = [word for gate in self.requires for word in ("--requires", gate)]
        asked = ["--step", self.step, "--subject", self.subject, *receipts, *requires]
        return [*COMMAND, *asked, "--executor-input", self.executor_input, "--", *self.command]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Guarded:
        """Read the arguments, without `COMMAND`.

        Raises:
            UsageError: One is missing, unknown, or there twice; or a receipt has no kind or a kind no receipt.
        """
        if "--" not in arguments:
            raise _misused("there is no `--` before the step's command")
        end = list(arguments).index("--")
        found = _parser().parse_args(list(arguments[:end]))
        command = tuple(arguments[end + 1 :])
        if not command:
            raise _misused("there is no command to guard")
        for name in ("step", "subject", "executor_input"):
            if len(getattr(found, name)) > 1:  # argparse would let the last one win
                raise _misused(f"--{name.replace('_', '-')} is there twice")
        if len(set(found.receipt)) != len(found.receipt) or len(set(found.requires)) != len(found.requires):
            raise _misused("a receipt or a gate is named twice")
        if len(found.receipt) != len(found.requires):
            raise _misused(f"{len(found.receipt)} receipts for {len(found.requires)} required gates")
        return cls(
            step=found.step[0],
            subject=found.subject[0],
            receipts=tuple(found.receipt),
            requires=tuple(found.requires),
            executor_input=found.executor_input[0],
            command=command,
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # argparse's own never returns either
        raise _misused(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="interlock.kubeflow.guard", allow_abbrev=False, add_help=False)
    for name in ("--subject", "--executor-input", "--receipt", "--requires"):
        parser.add_argument(name, required=True, action="append")
    parser.add_argument("--step", required=True, action="append", choices=STEPS)
    return parser


def _misused(what: str) -> UsageError:
    return UsageError(
        f"the guard is used wrongly: {what}",
        where="the step's command",
        next_step="let interlock.kubeflow.gated() write it",
    )


def run_guarded(asked: Guarded, runner: LocalRunner) -> int:
    """Open the guard and run the step on the held bytes.

    Returns:
        The step's exit status.

    Raises:
        GuardError: The guard stays shut; the step has not begun, and the refusal is in the ledger once there were bytes
            to speak about.
        InterlockError: As `LocalRunner.open_guard`; the step has not begun.
    """
    from interlock.kubeflow.presented import Presented
    from interlock.runner import GuardRequest

    given = ExecutorInput.parse(asked.executor_input)
    subject = given.artifact(asked.subject)
    check_command(asked.command, given, subject)
    presented = Presented(
        {name: given.artifact(name).path for name in asked.receipts}, requires=asked.requires, runner=runner
    )
    request = GuardRequest(
        kind=asked.step,
        subject=subject.path,
        named=subject.uri,
        requires=asked.requires,
        run=run_identity(given.parameters),
    )
    with presented.telling(), runner.open_guard(request, beforehand=presented.observe) as opened:
        command = moved_command(asked.command, given, subject, opened.subject.path, last=asked.behind is None)
        say(f"open on sha256:{opened.subject.subject.digest}")
        return run_child(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the guard; for its module."""
    from interlock.runner import LocalRunner

    try:
        asked = Guarded.parse(sys.argv[1:] if arguments is None else arguments)
        with LocalRunner(Settings.load()) as runner:
            return run_guarded(asked, runner)
    except InterlockError as error:
        say(f"the step does not begin: {error}")
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
