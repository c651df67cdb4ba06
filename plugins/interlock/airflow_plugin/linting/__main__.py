"""The process: an Airflow home of its own, then one request after the other."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.airflow_plugin.linting.home import prepare
from interlock.lint.serving import serve

if TYPE_CHECKING:
    from interlock.airflow_plugin.linting.parser import AirflowParser


def start() -> AirflowParser:
    """Import Airflow, read the rules and load the cluster policies.

    Raises:
        MissingExtraError: Airflow is not installed.
        InterlockError: The settings or the policy bundle cannot be read.
    """
    from interlock.gate.errors import MissingExtraError

    try:
        import airflow  # noqa: F401  # loads the configuration and the cluster policies
    except ModuleNotFoundError as error:
        if error.name != "airflow":
            raise
        raise MissingExtraError("airflow", extra="airflow") from error
    from interlock.airflow_plugin.linting.parser import AirflowParser

    return AirflowParser.ready()


def main() -> None:
    """Serve the requests on standard input; the argument is the descriptor for answers."""
    with tempfile.TemporaryDirectory(prefix="interlock-lint-") as home:
        prepare(Path(home))
        serve(start, int(sys.argv[1]))


if __name__ == "__main__":
    main()
