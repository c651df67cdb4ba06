"""What Interlock tells Airflow about itself, read through the entry point ``apache_airflow_provider``.

The API server reads this to draw connection forms without importing a hook, so the forms are data here and not
methods there. Nothing heavier than the standard library is imported.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

_NAME = "Interlock"
_TEXT = {"type": ["string", "null"]}


def get_provider_info() -> dict[str, Any]:
    """Return the provider description, valid against ``airflow/provider_info.schema.json``."""
    return {
        "package-name": "interlock",
        "name": _NAME,
        "description": "Security gates: no training and no deployment without signed evidence about the exact bytes.",
        "versions": [_version()],
        "integrations": [{"integration-name": _NAME, "tags": ["software"]}],
        "operators": [
            {
                "integration-name": _NAME,
                "python-modules": [
                    "interlock.airflow.approval",
                    "interlock.airflow.cluster_job",
                    "interlock.airflow.cluster_pod",
                    "interlock.airflow.gates",
                    "interlock.airflow.steps",
                    "interlock.airflow.waiting",
                ],
            }
        ],
        "triggers": [{"integration-name": _NAME, "python-modules": ["interlock.airflow.triggers"]}],
        "hooks": [{"integration-name": _NAME, "python-modules": ["interlock.airflow.hooks"]}],
        "bundles": [
            {
                "integration-name": _NAME,
                "python-modules": ["interlock.airflow_plugin.bundles.git", "interlock.airflow_plugin.bundles.local"],
            }
        ],
        "connection-types": [_interlock_connection(), _opa_connection()],
        "task-decorators": [{"name": "guarded", "class-name": "interlock.airflow.decorators.guarded_task"}],
        "config": {"interlock": {"description": "How approval gates read Airflow's records.", "options": _options()}},
    }


def _version() -> str:
    try:
        return version("interlock")
    except PackageNotFoundError:  # a source tree on sys.path that nobody installed
        return "0+unknown"


def _options() -> dict[str, Any]:
    described = {
        "records_url": "URL of the API server, https unless it is on this machine; [api] base_url when empty.",
        "records_user": "Who reads the records: a user of role viewer whom no list of approvers names.",
        "records_password_file": "File with that user's password.",
        "records_ca_file": "PEM of a private certificate authority; empty means the public ones.",
    }
    return {
        name: {"description": text, "version_added": "0.1.0", "type": "string", "example": None, "default": ""}
        for name, text in described.items()
    }


def _interlock_connection() -> dict[str, Any]:
    return {
        "connection-type": "interlock",
        "hook-class-name": "interlock.airflow.hooks.InterlockHook",
        "hook-name": "Interlock ledger",
        # The URL is in `host`, because Airflow reuses a stored password in a test only while the host is the same.
        "conn-fields": {
            "noted_head": {
                "label": "Head noted earlier",
                "schema": _TEXT,
                "description": "The head that a test showed before; a test fails if the ledger has lost it.",
            }
        },
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema", "extra"],
            "relabeling": {"host": "Ledger URL", "login": "Ledger user", "password": "Ledger password"},
            "placeholders": {"host": "postgresql+pg8000://ledger.example:5432/interlock"},
        },
    }


def _opa_connection() -> dict[str, Any]:
    return {
        "connection-type": "opa",
        "hook-class-name": "interlock.airflow.hooks.OpaHook",
        "hook-name": "Open Policy Agent",
        "conn-fields": {
            "ca_file": {
                "label": "CA file",
                "schema": _TEXT,
                "description": "PEM file of a private certificate authority, on the machine that connects.",
            },
            "client_cert": {"label": "Client certificate file", "schema": _TEXT, "description": "PEM; for mutual TLS."},
            "client_key": {"label": "Client key file", "schema": _TEXT, "description": "PEM; empty if in the former."},
            "timeout": {
                "label": "Timeout in seconds",
                "schema": {"type": ["number", "null"], "default": 5, "exclusiveMinimum": 0},
                "description": "For one question, all its tries together.",
            },
            "retries": {
                "label": "Further tries",
                "schema": {"type": ["integer", "null"], "default": 2, "minimum": 0, "maximum": 10},
            },
            "decision_path": {
                "label": "Decision path",
                "schema": _TEXT,
                "description": "What a test of the connection asks for; interlock.decision.result when empty.",
            },
        },
        "ui-field-behaviour": {
            "hidden-fields": ["login", "schema", "extra"],
            "relabeling": {"host": "URL or host", "password": "Bearer token"},
            "placeholders": {"host": "https://opa.example", "port": "8181"},
        },
    }
