"""One set of packages, in every engine: the library, the program, and a server over plain http and over TLS.

``INTERLOCK_TEST_OPA_URL`` names a server that already runs (with ``INTERLOCK_TEST_OPA_CA`` for its private authority);
then both server engines ask that one. Otherwise each starts its own on loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from tests.policy.engines.conformance.tokens import keys
from tests.policy.engines.opa_servers import Authority, opa_program, plain, running_opa

from interlock.gate import Json
from interlock.policy import Answer, Bundle, EmbeddedEngine, Library
from interlock.policy.engines.binary import BinaryEngine
from interlock.policy.engines.endpoint import Endpoint, parse_address
from interlock.policy.engines.server import ServerEngine
from interlock.policy.engines.server_async import AsyncServerEngine
from interlock.policy.engines.server_client import GuardedClient

ENGINES = (
    "embedded",
    pytest.param("binary", marks=pytest.mark.slow),  # one process for each case
    "server",
    "server over TLS",
    "server, async",
)
Evaluate = Callable[[str, Mapping[str, Json]], Answer]
CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """Every case as a package of its own under one root that nobody else uses.

    Args:
        root: First name of all packages and of all data.
        modules: Rego by the number of its case.
        data: What lies at `root`.
    """

    root: str
    modules: Mapping[int, str] = field(default_factory=dict)
    data: Mapping[str, Json] = field(default_factory=dict)

    def module(self, number: int) -> str:
        """The Rego of one case."""
        return f"package {self.root}.c{number}\n\n{_imports(self.root, number)}\n{CASES[number]['rego']}\n"

    def path(self, number: int) -> str:
        """What is asked for."""
        return f"{self.root}.c{number}.x"


def _imports(root: str, number: int) -> str:
    source = CASES[number]["rego"]
    names = {"keys": "keys", "facts": f"facts{number}"}
    return "".join(f"import data.{root}_data.{at} as {name}\n" for name, at in names.items() if f"{name}." in source)


@pytest.fixture(scope="session")
def packages() -> Packages:
    root = f"conformance_{secrets.token_hex(6)}"
    facts = {f"facts{number}": case["data"] for number, case in enumerate(CASES) if "data" in case}
    made = Packages(root=root)
    modules = {number: made.module(number) for number, case in enumerate(CASES) if "refused" not in case}
    return Packages(root=root, modules=modules, data={"keys": keys(), **facts})


@pytest.fixture(scope="session")
def folder(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages as a bundle."""
    folder = tmp_path_factory.mktemp("conformance")
    for number, source in packages.modules.items():
        (folder / f"c{number}.rego").write_text(source, encoding="utf-8")
    (folder / "data.json").write_text(json.dumps({f"{packages.root}_data": packages.data}), encoding="utf-8")
    (folder / ".manifest").write_text(json.dumps({"roots": [packages.root, f"{packages.root}_data"]}))
    return folder


@pytest.fixture(scope="session", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def endpoint(
    engine_name: str, packages: Packages, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """A server with all packages in it; for the engines that ask one."""
    url = os.environ.get("INTERLOCK_TEST_OPA_URL", "")
    if url:
        scheme, host, port = parse_address(url, where="INTERLOCK_TEST_OPA_URL")
        ca_file = os.environ.get("INTERLOCK_TEST_OPA_CA", "")
        with _uploaded(packages, Endpoint(scheme=scheme, host=host, port=port, ca_file=ca_file, timeout=30.0)) as found:
            yield found
    elif "TLS" in engine_name:
        authority = Authority(tmp_path_factory.mktemp("authority"))
        certificate, key = authority.issue("server")
        tls = (f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}")
        with running_opa("--bundle", str(folder), *tls) as port:
            yield plain(port, scheme="https", ca_file=str(authority.file), timeout=30.0)
    else:
        with running_opa("--bundle", str(folder)) as port:
            yield plain(port, timeout=30.0)


@contextmanager
def _uploaded(packages: Packages, found: Endpoint) -> Iterator[Endpoint]:
    """A server that somebody else runs: what is put there is taken away again."""
    client = GuardedClient(found)
    client.update_or_create_data(dict(packages.data), f"{packages.root}_data")
    for number, source in packages.modules.items():
        client.update_policy_from_string(source, f"{packages.root}_c{number}")
    yield found
    for number in packages.modules:
        client.delete_policy(f"{packages.root}_c{number}")
    client.delete_data(f"{packages.root}_data")
    client.close_connection()


@pytest.fixture(scope="session")
def evaluate(engine_name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Evaluate]:
    """Asks one engine that has every case in it."""
    if engine_name == "server, async":
        runner = asyncio.Runner()
        asked = AsyncServerEngine(request.getfixturevalue("endpoint"))
        yield lambda path, document: runner.run(asked.evaluate(path, document))
        runner.run(asked.close())
        runner.close()
        return
    engine: EmbeddedEngine | BinaryEngine | ServerEngine
    if engine_name == "embedded":
        library: Library = request.getfixturevalue("library")
        engine = EmbeddedEngine(Bundle.load(folder), library=library, deadline=30.0)
    elif engine_name == "binary":
        engine = BinaryEngine(Bundle.load(folder), program=opa_program(), deadline=30.0)
    else:
        engine = ServerEngine(request.getfixturevalue("endpoint"))
    yield engine.evaluate
    engine.close()


@pytest.fixture(scope="session")
def refuses(engine_name: str, packages: Packages, request: pytest.FixtureRequest) -> Callable[[int, Path], str]:
    """Gives one engine a module that does not compile; what the engine says of it."""

    def by_bundle(number: int, folder: Path) -> str:
        (folder / "r.rego").write_text(packages.module(number), encoding="utf-8")
        bundle = Bundle.load(folder / "r.rego")
        engine: EmbeddedEngine | BinaryEngine
        if engine_name == "embedded":
            engine = EmbeddedEngine(bundle, library=request.getfixturevalue("library"))
        else:
            engine = BinaryEngine(bundle, program=opa_program())
        try:
            return _error_of(lambda: engine.evaluate(packages.path(number), {}))
        finally:
            engine.close()

    def by_upload(number: int, _folder: Path) -> str:
        client = GuardedClient(request.getfixturevalue("endpoint"))
        bad = Packages(root=f"{packages.root}_bad")  # outside of what the served bundle owns
        try:
            return _error_of(lambda: client.update_policy_from_string(bad.module(number), bad.root))
        finally:
            client.close_connection()

    return by_bundle if engine_name in {"embedded", "binary"} else by_upload


def _error_of(work: Callable[[], object]) -> str:
    with pytest.raises(Exception, match=r".") as refused:  # each client has classes of its own for this
        work()
    error = refused.value
    response = getattr(error, "response", None)
    return f"{error} {response.text if response is not None else ''}"
