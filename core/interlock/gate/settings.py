"""How a deployment is set up: read once from files and the environment, never from a pipeline.

Who may say what, the strongest first:

1. ``/etc/interlock/config.toml`` - the administrator of the machine; nothing below can override it;
2. ``INTERLOCK_<NAME>`` environment variables - the deployment (a pod spec, a systemd unit, a shell);
3. the file named by ``INTERLOCK_CONFIG``, else ``~/.config/interlock/config.toml`` - the user.

Airflow Variables, Connections, run parameters and XCom are not on this list: whoever can trigger a run must not be
able to say how strictly it is checked.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path

from interlock.gate.errors import SettingsError

SYSTEM_FILE = Path("/etc/interlock/config.toml")
_FLAGS = ("allow_unsigned_policy", "airflow_hard_mode")
ENGINES = ("auto", "embedded", "binary", "server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides how strict and where; see the module for who may set it.

    Args:
        home: Folder for what Interlock keeps on this machine.
        profile: Policy profile: ``dev``, ``standard`` or ``strict`` as the bundle's data defines them.
        ledger_url: SQLAlchemy URL; SQLite under `home` by default, PostgreSQL in production.
        receipts: Folders written by ``interlock ledger export``, whose receipts guards read beside the ledger's.
        signer: Key URI as `securesystemslib` knows them (``awskms:``, ``gcpkms:``, ``azurekms:``, ``hsm:``,
            ``file2:``); empty means the dev key under `home`, which every receipt says.
        trusted_keys: Folder of public keys (PEM) whose receipts count.
        policy: Folder, tar.gz, ``https://`` or ``s3://`` URL of an OPA bundle; empty means the one shipped with
            Interlock, or with engine ``server`` the server's own.
        policy_layers: Bundles of the organisation's own data and rules, laid over `policy` in this order.
        policy_keys: Folder of public keys (PEM) that sign policy bundles. With it, every bundle but the shipped one
            must be signed by one of them.
        allow_unsigned_policy: Take a bundle from a URL without `policy_keys`.
        policy_poll: Seconds after which a bundle from a URL is asked for again.
        policy_max_age: Seconds after which a kept copy that its server has not confirmed decides nothing any more.
        policy_token_file: File with the bearer token for the server of `policy` and `policy_layers`.
        policy_ca_file: PEM of the private CA that signed its certificate.
        policy_client_cert: PEM of the client certificate to show it.
        policy_client_key: PEM of the key to that certificate.
        known_bundles: Digests of further policy bundles whose receipts a guard accepts (during a policy roll-out).
        engine: ``auto``, ``embedded``, ``binary`` or ``server``.
        opa_url: Base URL of an OPA server; with ``auto`` a URL means ``server``.
        opa_token_file: File with the bearer token for it.
        opa_ca_file: PEM of the private CA that signed its certificate.
        opa_client_cert: PEM of the client certificate to show it.
        opa_client_key: PEM of the key to that certificate.
        opa_retries: How often a question is asked again when the server does not answer or says 5xx.
        opa_binary: Path of an ``opa`` program; empty means the one on PATH.
        engine_helpers: How many helper processes the embedded engine may run at once; 0 means one for each processor,
            four at most.
        engine_deadline: Seconds that one decision may take.
        exemptions: Folder of signed exemptions and approvals.
        decision_log: File to which each decision is appended as a JSON line, ``-`` for standard output; empty means
            the ledger only.
        receipt_lifetime: How long a receipt opens guards.
        store: Folder of held snapshots.
        region: Where this machine's own disks stand, for policies on residency; empty means that nobody says.
        registry: Folder or fsspec URL behind ``registry://``.
        modelaudit: Path of a ``modelaudit`` program; empty means the one on PATH.
        gpu_keys: File of the key set (JWKS) whose attestation of GPUs counts; empty means that nobody attests them.
        gpu_attester: Command that attests GPUs, with ``{nonce}`` in it; empty means ``nvattest``.
        gpu_record: File with a recorded state of GPUs, played back in place of this machine's; every report says so.
        airflow_hard_mode: Whether Airflow's API server refuses to start protected tasks whose run has no receipts.
    """

    home: Path
    profile: str
    ledger_url: str
    receipts: tuple[str, ...]
    signer: str
    trusted_keys: Path
    policy: str
    policy_layers: tuple[str, ...]
    policy_keys: str
    allow_unsigned_policy: bool
    policy_poll: float
    policy_max_age: float
    policy_token_file: str
    policy_ca_file: str
    policy_client_cert: str
    policy_client_key: str
    known_bundles: tuple[str, ...]
    engine: str
    opa_url: str
    opa_token_file: str
    opa_ca_file: str
    opa_client_cert: str
    opa_client_key: str
    opa_retries: int
    opa_binary: str
    engine_helpers: int
    exemptions: Path
    decision_log: str
    engine_deadline: float
    receipt_lifetime: timedelta
    store: Path
    region: str
    registry: str
    modelaudit: str
    gpu_keys: str
    gpu_attester: str
    gpu_record: str
    airflow_hard_mode: bool

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        system_file: Path = SYSTEM_FILE,
        ledger_fallback: str = "",
    ) -> Settings:
        """Read the files and the environment.

        Args:
            environ: The environment; `os.environ` when not given.
            system_file: Replaced in tests.
            ledger_fallback: Ledger URL where none of the three places names one, in place of the default under
                `home`. It comes from an orchestrator's connection, which may say where, but never how strictly.

        Raises:
            SettingsError: A file cannot be parsed, a name is unknown, or a value is malformed.
        """
        environ = os.environ if environ is None else environ
        user_file = Path(environ.get("INTERLOCK_CONFIG", "~/.config/interlock/config.toml")).expanduser()
        if "INTERLOCK_CONFIG" in environ and not user_file.is_file():
            raise SettingsError("the file that INTERLOCK_CONFIG names is not there", where=str(user_file))
        weakest = {"ledger_url": ledger_fallback} if ledger_fallback else {}
        said = weakest | _read(user_file) | _from_environment(environ) | _read(system_file)
        return _build(said)


def _build(said: Mapping[str, str]) -> Settings:
    home = Path(said.get("home", "~/.interlock")).expanduser().absolute()
    engine = said.get("engine", "auto")
    if engine not in ENGINES:
        raise SettingsError(f"engine {engine!r} is unknown", where="engine", next_step=f"use {', '.join(ENGINES)}")
    return Settings(
        home=home,
        profile=said.get("profile", "standard"),
        ledger_url=said.get("ledger_url", f"sqlite:///{home / 'ledger.db'}"),
        receipts=tuple(said.get("receipts", "").split()),
        signer=said.get("signer", ""),
        trusted_keys=Path(said.get("trusted_keys", str(home / "keys"))).expanduser(),
        policy=said.get("policy", ""),
        policy_layers=tuple(said.get("policy_layers", "").split()),
        policy_keys=said.get("policy_keys", ""),
        allow_unsigned_policy=_yes_or_no("allow_unsigned_policy", said.get("allow_unsigned_policy", "no")),
        policy_poll=_positive("policy_poll", said.get("policy_poll", "60")),
        policy_max_age=_positive("policy_max_age", said.get("policy_max_age", "604800")),
        policy_token_file=said.get("policy_token_file", ""),
        policy_ca_file=said.get("policy_ca_file", ""),
        policy_client_cert=said.get("policy_client_cert", ""),
        policy_client_key=said.get("policy_client_key", ""),
        known_bundles=tuple(said.get("known_bundles", "").replace(",", " ").split()),
        engine=engine,
        opa_url=said.get("opa_url", ""),
        opa_token_file=said.get("opa_token_file", ""),
        opa_ca_file=said.get("opa_ca_file", ""),
        opa_client_cert=said.get("opa_client_cert", ""),
        opa_client_key=said.get("opa_client_key", ""),
        opa_retries=_count("opa_retries", said.get("opa_retries", "2")),
        opa_binary=said.get("opa_binary", ""),
        engine_helpers=_count("engine_helpers", said.get("engine_helpers", "0")),
        exemptions=Path(said.get("exemptions", str(home / "exemptions"))).expanduser(),
        decision_log=said.get("decision_log", ""),
        engine_deadline=_positive("engine_deadline", said.get("engine_deadline", "5")),
        receipt_lifetime=timedelta(seconds=_positive("receipt_lifetime", said.get("receipt_lifetime", "86400"))),
        store=Path(said.get("store", str(home / "store"))).expanduser(),
        region=said.get("region", ""),
        registry=said.get("registry", str(home / "registry")),
        modelaudit=said.get("modelaudit", ""),
        gpu_keys=said.get("gpu_keys", ""),
        gpu_attester=said.get("gpu_attester", ""),
        gpu_record=said.get("gpu_record", ""),
        airflow_hard_mode=_yes_or_no("airflow_hard_mode", said.get("airflow_hard_mode", "no")),
    )


def _names() -> frozenset[str]:
    return frozenset(field.name for field in fields(Settings))


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file cannot be read: {error}", where=str(path)) from error
    unknown = sorted(set(table) - _names())
    if unknown:
        known = ", ".join(sorted(_names()))
        raise SettingsError(f"unknown setting {unknown[0]!r}", where=str(path), next_step=f"known are: {known}")
    return {name: _text(name, value, path) for name, value in table.items()}


def _text(name: str, value: object, path: Path) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    if isinstance(value, bool) and name in _FLAGS:
        return "yes" if value else "no"
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise SettingsError(f"setting {name!r} is neither text nor a number", where=str(path))


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    named = {name: environ.get(f"INTERLOCK_{name.upper()}") for name in _names()}
    return {name: value for name, value in named.items() if value}


def _positive(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{name} is a positive number of seconds, not {text!r}", where=name)
    return seconds


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        raise SettingsError(f"{name} is a whole number from 0 to 999, not {text!r}", where=name)
    return int(text)


def _yes_or_no(name: str, text: str) -> bool:
    if text not in {"yes", "no"}:
        raise SettingsError(f"{name} is yes or no, not {text!r}", where=name)
    return text == "yes"
