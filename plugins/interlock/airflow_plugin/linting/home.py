"""An Airflow home that nobody else uses: the organisation's configuration and policies, but no database of theirs.

``airflow.cfg``, ``config/`` (with ``airflow_local_settings.py``) and ``plugins/`` of the home that is configured are
linked into it. The database is an empty file, there is no secrets backend, and nothing is sent anywhere, so that lint
needs no network and a file that reads a Variable at import gets an answer at once.
"""

from __future__ import annotations

import os
from pathlib import Path


def prepare(home: Path) -> None:
    """Set this process's environment, before Airflow is imported.

    Args:
        home: An empty folder.
    """
    theirs = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    configured = Path(os.environ.get("AIRFLOW_CONFIG") or theirs / "airflow.cfg").expanduser()
    for name, source in {"airflow.cfg": configured, "config": theirs / "config", "plugins": theirs / "plugins"}.items():
        if source.exists():
            (home / name).symlink_to(source.absolute())
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",  # ours ends what does not react to a signal, too
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/none.db",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
        "AIRFLOW__METRICS__STATSD_ON": "False",
        "AIRFLOW__METRICS__OTEL_ON": "False",
        "AIRFLOW__SECRETS__BACKEND": "",
        "AIRFLOW__TRACES__OTEL_ON": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "",
        "_AIRFLOW_PROCESS_CONTEXT": "client",  # what a DAG processor's child and a task's process have
    }
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET"):
        os.environ.pop(name, None)
