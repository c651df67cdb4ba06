"""The command group, and the one place where an error becomes a line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from interlock.gate.errors import EXIT_UNDECIDED, EXIT_USAGE, InterlockError

_COMMANDS = {
    "airflow": ("interlock.cli.airflow", "airflow"),
    "approve": ("interlock.cli.approve", "approve"),
    "artifacts": ("interlock.cli.artifacts", "artifacts"),
    "budget": ("interlock.cli.budget", "budget"),
    "demo": ("interlock.cli.demo", "demo"),
    "deploy": ("interlock.cli.deploy", "deploy"),
    "doctor": ("interlock.cli.doctor", "doctor"),
    "exempt": ("interlock.cli.exempt", "exempt"),
    "fetch": ("interlock.cli.fetch", "fetch"),
    "gate": ("interlock.cli.gates", "gate"),
    "gpu": ("interlock.cli.gpu", "gpu"),
    "keys": ("interlock.cli.keys", "keys"),
    "kubeflow": ("interlock.cli.kubeflow", "kubeflow"),
    "kubernetes": ("interlock.cli.kubernetes", "kubernetes"),
    "ledger": ("interlock.cli.ledger", "ledger"),
    "lint": ("interlock.cli.lint", "lint"),
    "policy": ("interlock.cli.policy", "policy"),
    "train": ("interlock.cli.train", "train"),
    "snapshot": ("interlock.cli.snapshot", "snapshot"),
    "validation": ("interlock.cli.validation", "validation"),
    "verify": ("interlock.cli.verify", "verify"),
}


class _Lazy(click.Group):
    """Loads a command's module when the command is used, so that `interlock verify` does not pay for `gate`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="interlock", prog_name="interlock")
def interlock() -> None:
    """Security gates for ML pipelines: nothing trains or ships until signed evidence says so.

    Exit status: 0 ALLOW, 1 DENY, 3 UNDECIDED, 2 usage or configuration error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status.

    Args:
        arguments: Without the program's name; `sys.argv[1:]` when not given.
    """
    try:
        status = interlock.main(args=arguments, prog_name="interlock", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        status = EXIT_USAGE
    except click.Abort:
        click.echo("interlock: interrupted", err=True)
        status = 130
    except InterlockError as error:
        click.echo(f"interlock: {error}", err=True)
        status = error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_UNDECIDED
    except Exception as error:
        if os.environ.get("INTERLOCK_DEBUG"):
            raise
        from importlib import metadata

        click.echo(
            f"interlock: a defect of Interlock {metadata.version('interlock')}: {type(error).__name__}: {error}. "
            "Next: run again with INTERLOCK_DEBUG=1 and report the trace",
            err=True,
        )
        status = EXIT_UNDECIDED
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
