"""Both clients against a real OPA on loopback: its answers, its certificates, its tokens, and its absence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.opa_servers import DIGEST, Authority, free_port, needs_opa, plain, running_opa, write_bundle

from interlock.gate import InterlockError, Json, PolicyError, Verdict
from interlock.policy import Answer, Bundle, PolicyDecider
from interlock.policy.bundles.bundle import packaged_folder
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.server import ServerEngine
from interlock.policy.engines.server_async import AsyncServerEngine

pytestmark = needs_opa
Ask = Callable[..., Answer]
SOURCE = """package a

twice := input.n * 2

quotient := 1 / input.n

allow := input.n == 1

allow := input.m == 2

endless if count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i != j]) > 0
"""
AUTHZ = """package system.authz

default allow := false

allow if input.identity == "the-token"
"""


def ask_sync(endpoint: Endpoint, path: str, document: Mapping[str, Json]) -> Answer:
    engine = ServerEngine(endpoint)
    try:
        return engine.evaluate(path, document)
    finally:
        engine.close()


def ask_async(endpoint: Endpoint, path: str, document: Mapping[str, Json]) -> Answer:
    async def main() -> Answer:
        async with AsyncServerEngine(endpoint) as engine:
            return await engine.evaluate(path, document)

    return asyncio.run(main())


@pytest.fixture(params=[pytest.param(ask_sync, id="sync"), pytest.param(ask_async, id="async")])
def ask(request: pytest.FixtureRequest) -> Ask:
    asker: Ask = request.param
    return asker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opa")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def opa(folder: Path) -> Iterator[int]:
    """OPA with one bundle, and a decision log so that it gives each decision an id."""
    bundle = write_bundle(folder / "bundle", SOURCE)
    with running_opa("--bundle", str(bundle), "--set=decision_logs.console=true") as port:
        yield port


@pytest.fixture(scope="module")
def secured(folder: Path, authority: Authority) -> Iterator[int]:
    """OPA with a certificate of the private authority, for whoever has one of that authority too."""
    certificate, key = authority.issue("server")
    bundle = write_bundle(folder / "bundle", SOURCE)
    tls = (f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", f"--tls-ca-cert-file={authority.file}")
    with running_opa("--bundle", str(bundle), *tls, "--authentication=tls") as port:
        yield port


def test_an_answer_says_value_bundle_decision_and_timers(ask: Ask, opa: int) -> None:
    answer = ask(plain(opa), "data.a.twice", {"n": 21})
    assert (answer.defined, answer.value, answer.bundle_digest) == (True, 42, DIGEST)
    assert len(answer.decision_id) == 36
    assert answer.metrics["timer_rego_query_eval_ns"] > 0


def test_the_version_is_opas(opa: int) -> None:
    engine = ServerEngine(plain(opa))
    assert (engine.name, engine.version) == ("opa-server", "")
    engine.evaluate("a.twice", {"n": 1})
    assert engine.version.split(".")[0] == "1"
    engine.close()


def test_undefined_is_no_value(ask: Ask, opa: int) -> None:
    """Trap: OPA says 200 and an empty object."""
    for path, document in (("a.twice", {}), ("a.nothing", {"n": 1}), ("no.such.package", {})):
        answer = ask(plain(opa), path, document)
        assert (answer.defined, answer.value) == (False, None)


def test_an_error_of_a_builtin_is_an_error(ask: Ask, opa: int) -> None:
    """Trap: without asking for strict errors OPA calls it undefined."""
    with pytest.raises(PolicyError, match="divide by zero"):
        ask(plain(opa), "a.quotient", {"n": 0})


def test_conflicting_rules_are_an_error(ask: Ask, opa: int) -> None:
    with pytest.raises(PolicyError, match=r"conflict|multiple"):
        ask(plain(opa), "a.allow", {"n": 1, "m": 3})


def test_a_policy_that_never_ends_ends_at_the_deadline_and_the_next_call_works(ask: Ask, opa: int) -> None:
    with pytest.raises(PolicyError, match=r"did not answer within 0\.5 seconds"):
        ask(plain(opa, timeout=0.5), "a.endless", {})
    assert ask(plain(opa), "a.twice", {"n": 2}).value == 4


def test_one_path_may_be_queried_and_nothing_else(opa: int) -> None:
    engine = ServerEngine(plain(opa))
    assert engine.query("data.a.twice", {"n": 3})[0]["expressions"][0]["value"] == 6
    assert engine.query("data.a.twice", {}) == []
    with pytest.raises(PolicyError, match="free queries as if a builtin that errs were undefined"):
        engine.query("x := 1 / 0", {})
    engine.close()

    async def main() -> None:
        async with AsyncServerEngine(plain(opa)) as asked:
            assert await asked.query("data.a.twice", {"n": 3}) != []
            assert await asked.bundle_digest() == DIGEST
            with pytest.raises(PolicyError, match="free queries"):
                await asked.query("x := 1 / 0", {})

    asyncio.run(main())


def test_the_digest_is_asked_of_the_server_and_follows_it(folder: Path) -> None:
    port = free_port()
    engine = ServerEngine(plain(port, retries=0))
    assert engine.bundle_digest == ""
    for digest in ("1" * 64, "2" * 64):
        bundle = write_bundle(folder / digest[:1], SOURCE, revision=f"r@sha256:{digest}")
        with running_opa("--bundle", str(bundle), port=port):
            assert engine.bundle_digest == digest
    assert engine.bundle_digest == ""
    engine.close()


@pytest.mark.parametrize(
    ("revisions", "digest"),
    [
        pytest.param(["1.0"], "", id="no digest in it"),
        pytest.param([f"x@sha256:{DIGEST}", "1.0"], "", id="two bundles"),
        pytest.param([], "", id="no bundle"),
    ],
)
def test_a_server_that_does_not_say_its_bundle_has_no_digest(
    ask: Ask, tmp_path: Path, revisions: list[str], digest: str
) -> None:
    roots = ("a", "b")
    bundles = [
        write_bundle(
            tmp_path / roots[n], SOURCE.replace("package a", f"package {roots[n]}"), revision=said, roots=(roots[n],)
        )
        for n, said in enumerate(revisions)
    ]
    with running_opa("--bundle", *map(str, bundles)) if bundles else running_opa() as port:
        assert ask(plain(port), "a.twice", {"n": 1}).bundle_digest == digest


def test_a_private_authority_is_used_and_needed(ask: Ask, secured: int, authority: Authority) -> None:
    """Trap: the client's `ssl` is a switch for the public authorities; its async twin knows no other."""
    certificate, key = authority.issue("client")
    more: dict[str, Any] = {"scheme": "https", "client_cert": str(certificate), "client_key": str(key)}
    assert ask(plain(secured, **more, ca_file=str(authority.file)), "a.twice", {"n": 4}).value == 8
    with pytest.raises(PolicyError, match=r"TLS with OPA failed.*certificate verify failed"):
        ask(plain(secured, **more), "a.twice", {"n": 4})


def test_a_certificate_for_another_name_is_refused(ask: Ask, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("other", address="127.0.0.2")
    with running_opa(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}") as port:
        endpoint = plain(port, scheme="https", ca_file=str(authority.file))
        with pytest.raises(PolicyError, match="TLS with OPA failed"):
            ask(endpoint, "a.twice", {})


def test_the_client_certificate_is_needed_and_must_be_known(
    ask: Ask, secured: int, authority: Authority, tmp_path: Path
) -> None:
    trusted = {"scheme": "https", "ca_file": str(authority.file), "retries": 0}
    with pytest.raises(PolicyError, match="certificate"):
        ask(plain(secured, **trusted), "a.twice", {"n": 4})
    stranger, key = Authority(tmp_path).issue("stranger")
    with pytest.raises(PolicyError, match=r"(?i)certificate|cannot be asked|TLS"):
        ask(plain(secured, **trusted, client_cert=str(stranger), client_key=str(key)), "a.twice", {"n": 4})


def test_plain_http_to_a_server_with_tls_is_an_error(ask: Ask, secured: int) -> None:
    with pytest.raises(PolicyError):
        ask(plain(secured, retries=0), "a.twice", {"n": 4})


def test_only_the_right_token_is_let_in(ask: Ask, tmp_path: Path) -> None:
    authz = write_bundle(tmp_path / "authz", AUTHZ, roots=("system",), revision="1")
    rules = write_bundle(tmp_path / "rules", SOURCE, roots=("a",), revision="1")
    demanding = ("--authentication=token", "--authorization=basic", "--bundle", str(authz), str(rules))
    token = tmp_path / "token"
    with running_opa(*demanding) as port:
        for wrong in ("another", "The-token"):
            token.write_text(wrong)
            with pytest.raises(PolicyError, match=r"OPA refuses us \(401\).*check the bearer token") as refused:
                ask(plain(port, token_file=str(token)), "a.twice", {"n": 1})
            assert wrong not in str(refused.value)
        token.write_text("the-token\n")
        assert ask(plain(port, token_file=str(token)), "a.twice", {"n": 1}).value == 2


def test_down_is_an_error_and_up_again_is_answered() -> None:
    port = free_port()
    engine = ServerEngine(plain(port, retries=0))
    for _ in range(2):
        with pytest.raises(PolicyError, match=r"cannot be asked: .*refused"):
            engine.evaluate("a.twice", {"n": 1})
        with running_opa(port=port):
            assert not engine.evaluate("a.twice", {"n": 1}).defined
            assert not engine.evaluate("a.twice", {"n": 1}).defined
    engine.close()


def test_many_threads_get_their_own_answers(opa: int) -> None:
    engine = ServerEngine(plain(opa))

    def ask(offset: int) -> list[int]:
        return [n for n in range(offset, offset + 50) if engine.evaluate("a.twice", {"n": n}).value != 2 * n]

    with ThreadPoolExecutor(8) as pool:
        assert [wrong for found in pool.map(ask, range(0, 800, 100)) for wrong in found] == []
    engine.close()


def test_a_forked_child_asks_through_connections_of_its_own(opa: int) -> None:
    engine = ServerEngine(plain(opa))
    assert engine.evaluate("a.twice", {"n": 1}).value == 2
    children = []
    for n in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if all(engine.evaluate("a.twice", {"n": n}).value == 2 * n for _ in range(20)) else 2
            finally:
                os._exit(status)
        children.append(child)
    assert all(engine.evaluate("a.twice", {"n": k}).value == 2 * k for k in range(20))
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    engine.close()


def test_a_closed_engine_opens_again(opa: int) -> None:
    engine = ServerEngine(plain(opa))
    engine.close()
    assert engine.evaluate("a.twice", {"n": 5}).value == 10
    engine.close()
    assert engine.evaluate("a.twice", {"n": 6}).value == 12
    engine.close()


def test_one_async_engine_serves_one_loop_after_another(opa: int) -> None:
    engine = AsyncServerEngine(plain(opa))

    async def main() -> list[Json]:
        answers = await asyncio.gather(*(engine.evaluate("a.twice", {"n": n}) for n in range(20)))
        await engine.close()
        return [answer.value for answer in answers]

    for _ in range(2):
        assert asyncio.run(main()) == [2 * n for n in range(20)]
    assert engine.version.startswith("1.")


def test_the_shipped_bundle_decides_the_same_on_a_server(
    examples: Callable[[], Mapping[str, dict[str, Any]]], bundle: Bundle, tmp_path: Path
) -> None:
    """A folder with the shipped rules whose revision names their digest, as a built bundle has it."""
    import json
    import shutil

    served = tmp_path / "served"
    shutil.copytree(packaged_folder(), served, ignore=shutil.ignore_patterns("*_test.rego", "schemas", "*.py"))
    manifest = json.loads((served / ".manifest").read_text())
    (served / ".manifest").write_text(json.dumps(manifest | {"revision": f"test@sha256:{bundle.digest}"}))
    with running_opa("--bundle", str(served)) as port:
        decider = PolicyDecider(ServerEngine(plain(port), expected_digest=bundle.digest), bundle)
        decision = decider.decide(examples()["validation"])
        decider.close()
        with pytest.raises(InterlockError, match=f"{bundle.digest}.*{'e' * 64}"):
            ServerEngine(plain(port), expected_digest="e" * 64).evaluate("interlock.decision.result", {})
    assert (decision.verdict, decision.errors) == (Verdict.ALLOW, ())
    assert (decision.engine, decision.bundle_digest) == ("opa-server", bundle.digest)
