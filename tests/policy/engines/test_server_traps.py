"""What a server may do to whoever asks it: each is an error that says what it was, in time, and never an answer."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.hostile_server import HostileServer, Reply, drip, flood, hang_up, http, reset, silence
from tests.policy.engines.opa_servers import DIGEST, free_port, plain

from interlock.gate import InterlockError, Json, PolicyError, SettingsError, Verdict
from interlock.policy import Answer, Bundle, PolicyDecider
from interlock.policy.engines import server_answers
from interlock.policy.engines.endpoint import Endpoint
from interlock.policy.engines.server import ServerEngine
from interlock.policy.engines.server_async import AsyncServerEngine

Ask = Callable[..., Answer]
RIGHT = http({"result": 42, "provenance": {"version": "1.20.2", "bundles": {"b": {"revision": f"r@sha256:{DIGEST}"}}}})
ACCOUNT = {
    "code": "internal_error",
    "message": "error(s) occurred while evaluating query",
    "errors": [{"code": "eval_builtin_error", "message": "div: divide by zero"}],
}


def ask_sync(endpoint: Endpoint, document: Mapping[str, Json], **more: Any) -> Answer:
    engine = ServerEngine(endpoint, **more)
    try:
        return engine.evaluate("a.b", document)
    finally:
        engine.close()


def ask_async(endpoint: Endpoint, document: Mapping[str, Json], **more: Any) -> Answer:
    async def main() -> Answer:
        async with AsyncServerEngine(endpoint, **more) as engine:
            return await engine.evaluate("a.b", document)

    return asyncio.run(main())


@pytest.fixture(params=[pytest.param(ask_sync, id="sync"), pytest.param(ask_async, id="async")])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Both clients have the same meaning."""
    asker: Ask = request.param
    return asker


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("server", "server_async"):
        monkeypatch.setattr(f"interlock.policy.engines.{module}.PAUSE_SECONDS", 0.001)


def test_a_right_answer_is_one(ask: Ask) -> None:
    with HostileServer(RIGHT) as server:
        answer = ask(plain(server.port), {"n": 1})
    assert (answer.defined, answer.value, answer.bundle_digest) == (True, 42, DIGEST)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0]
    assert line.startswith(b"POST /v1/data/a/b?")
    for parameter in (b"provenance=true", b"metrics=true", b"strict-builtin-errors=true"):
        assert parameter in line
    assert body == b'{"input":{"n":1}}'


def test_an_answer_without_a_result_is_undefined_and_never_a_value(ask: Ask) -> None:
    with HostileServer(http({})) as server:
        assert ask(plain(server.port), {}) == Answer(defined=False, value=None)


def test_an_empty_input_is_sent_as_one(ask: Ask) -> None:
    with HostileServer(RIGHT) as server:
        ask(plain(server.port), {})
    assert server.requests[0].endswith(b'{"input":{}}')


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        pytest.param(http(b"garbage"), "no JSON", id="garbage"),
        pytest.param(http(b""), "no JSON", id="nothing at all"),
        pytest.param(http(b'{"result": NaN}'), "no JSON", id="not a number"),
        pytest.param(http(b'{"result": ' + b"[" * 100_000), "no JSON", id="json that nests without end"),
        pytest.param(http(b'{"result": "\xff"}'), "no JSON", id="no utf-8"),
        pytest.param(http([]), "another shape", id="a list"),
        pytest.param(http(b"<html>", kind="text/html"), "no OPA: it sent text/html", id="a login page"),
        pytest.param(http({"result": True}, kind="text/plain"), "no OPA", id="json as text"),
        pytest.param(http({"result": True}, kind=""), "no OPA: it sent no content type", id="no content type"),
        pytest.param(http({"result": True}, headers="Content-Encoding: gzip\r\n"), "compressed", id="compressed"),
        pytest.param(http(b"", status="204 No Content"), "no JSON|204|cannot be asked", id="no content"),
        pytest.param(http(RIGHT, status="500 Oops"), "OPA answered 500", id="500"),
        pytest.param(http(ACCOUNT, status="500 Oops"), "policy cannot be evaluated: div: divide by zero", id="account"),
        pytest.param(http(b"", status="502 Bad Gateway", kind=""), "OPA answered 502: nothing more", id="502"),
        pytest.param(http(b"", status="404 Not Found"), "OPA answered 404", id="404"),
        pytest.param(http(b"", status="401 Unauthorized"), r"refuses us \(401\).*token", id="401"),
        pytest.param(http({"result": True}, status="403 Forbidden"), r"refuses us \(403\).*token", id="403"),
        pytest.param(http(b"", status="304 Not Modified"), "redirect", id="304"),
        pytest.param(http({"result": True}, length=500), "cannot be asked", id="truncated body"),
        pytest.param(hang_up, "cannot be asked", id="hangs up"),
        pytest.param(reset, "cannot be asked", id="resets"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be asked", id="another protocol"),
        pytest.param(flood, "larger than", id="a body without end"),
        pytest.param(silence, r"did not answer within 0\.6 seconds", id="silence"),
        pytest.param(drip(RIGHT), r"did not answer within 0\.6 seconds", id="drips headers"),
        pytest.param(drip(RIGHT, first=len(RIGHT) - 50), r"did not answer within 0\.6", id="drips its body"),
    ],
)
def test_what_is_no_answer_is_an_error(ask: Ask, reply: Reply, message: str) -> None:
    with (
        HostileServer(reply) as server,
        pytest.raises(PolicyError, match=message) as refused,
    ):
        ask(plain(server.port, timeout=0.6), {}, answer_limit=200_000 if reply is not flood else 100_000)
    assert str(server.port) in str(refused.value) or "no JSON" in str(refused.value)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed_and_nothing_is_sent_elsewhere(ask: Ask, status: str) -> None:
    with HostileServer(RIGHT) as other:
        location = f"Location: http://127.0.0.1:{other.port}/v1/data/a/b\r\n"
        with (
            HostileServer(http({"result": True}, status=status, headers=location)) as server,
            pytest.raises(PolicyError, match=r"with a redirect .* is not followed"),
        ):
            ask(plain(server.port, token="secret"), {})
    assert other.requests == []


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_a_server_in_trouble_is_asked_again(ask: Ask, status: str) -> None:
    with HostileServer(http(b"", status=status), hang_up, RIGHT) as server:
        assert ask(plain(server.port, retries=2), {}).value == 42
    assert len(server.requests) == 3


def test_it_is_asked_again_as_often_as_the_settings_say(ask: Ask) -> None:
    with HostileServer(http(b"", status="503 Busy")) as server, pytest.raises(PolicyError, match="503"):
        ask(plain(server.port, retries=1), {})
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(http(ACCOUNT, status="500 Oops"), id="an error of the policy"),
        pytest.param(http({"code": "invalid_parameter", "message": "no"}, status="400 Bad"), id="a bad question"),
        pytest.param(http(b"", status="401 Unauthorized"), id="a wrong token"),
        pytest.param(http(b"garbage"), id="garbage"),
    ],
)
def test_what_would_be_the_same_again_is_asked_once(ask: Ask, reply: Reply) -> None:
    with HostileServer(reply, RIGHT) as server, pytest.raises(PolicyError):
        ask(plain(server.port, retries=5), {})
    assert len(server.requests) == 1


def test_all_tries_together_have_one_deadline(ask: Ask) -> None:
    with (
        HostileServer(drip(http(b"", status="503 Busy"), seconds=0.003)) as server,
        pytest.raises(PolicyError, match=r"503|within 0\.7 seconds"),
    ):
        ask(plain(server.port, retries=500, timeout=0.7), {})
    assert len(server.requests) < 6


def test_the_next_question_after_a_fault_is_answered() -> None:
    """One engine, one fault after the other, and each time the next question goes through."""
    faults: list[Reply] = [
        hang_up,
        http(b"garbage"),
        silence,
        http({"result": 1}, length=99),
        http(b"", status="500 x"),
    ]
    replies = [reply for fault in faults for reply in (fault, RIGHT)]
    with HostileServer(*replies) as server:
        engine = ServerEngine(plain(server.port, retries=0, timeout=0.5))
        for _ in faults:
            with pytest.raises(PolicyError):
                engine.evaluate("a.b", {})
            assert engine.evaluate("a.b", {}).value == 42
        engine.close()


def test_through_the_decider_every_fault_is_undecided_with_its_reason(
    examples: Callable[[], Mapping[str, dict[str, Any]]],
) -> None:
    faults: list[Reply] = [hang_up, http(b"garbage"), silence, http({"result": True}, length=99), http({})]
    document = examples()["validation"]
    for fault in faults:
        with HostileServer(fault) as server:
            decider = PolicyDecider(ServerEngine(plain(server.port, retries=0, timeout=0.5)), Bundle.load())
            decision = decider.decide(document)
            decider.close()
        assert decision.verdict is Verdict.UNDECIDED
        assert decision.errors
        assert decision.engine == "opa-server"


def test_a_server_that_hangs_is_asked_once_for_a_decision(
    examples: Callable[[], Mapping[str, dict[str, Any]]],
) -> None:
    """To ask by which bundle it would have decided would take a second deadline."""
    with HostileServer(silence) as server:
        decider = PolicyDecider(ServerEngine(plain(server.port, timeout=0.3)), Bundle.load())
        decision = decider.decide(examples()["validation"])
        decider.close()
    assert (decision.verdict, decision.bundle_digest) == (Verdict.UNDECIDED, "")
    assert len(server.requests) == 1


def test_a_true_that_comes_with_no_bundle_is_undecided(examples: Callable[[], Mapping[str, dict[str, Any]]]) -> None:
    allow = {"allow": True, "reasons": [], "warnings": [], "exemptions": []}
    with HostileServer(http({"result": allow})) as server:
        decider = PolicyDecider(ServerEngine(plain(server.port)), Bundle.load())
        decision = decider.decide(examples()["validation"])
        decider.close()
    assert decision.verdict is Verdict.UNDECIDED
    assert "by which bundle" in decision.errors[0]


def test_https_is_not_spoken_to_a_server_that_has_none(ask: Ask) -> None:
    with (
        HostileServer(RIGHT, listens=False) as server,
        pytest.raises(PolicyError, match="TLS with OPA failed"),
    ):
        ask(plain(server.port, scheme="https", timeout=2.0), {})


def test_a_tls_handshake_that_never_ends_ends_at_the_deadline(ask: Ask) -> None:
    with (
        HostileServer(silence, listens=False) as server,
        pytest.raises(PolicyError, match=r"within 0\.5 seconds|cannot be asked|TLS"),
    ):
        ask(plain(server.port, scheme="https", timeout=0.5, retries=0), {})


def test_a_name_that_nobody_has_is_an_error(ask: Ask) -> None:
    with pytest.raises(PolicyError, match="cannot be asked"):
        ask(plain(1, host="no-such-host.invalid", timeout=20.0, retries=0), {})


def test_neither_proxy_nor_netrc_nor_ca_of_the_environment_is_used(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with HostileServer(RIGHT) as proxy, HostileServer(RIGHT) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password evil\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
        ask(plain(server.port, token="ours"), {})
        ask(plain(server.port), {})
    assert proxy.requests == []
    assert b"Authorization: Bearer ours" in server.requests[0]
    assert b"Authorization" not in server.requests[1]


def test_a_cookie_is_not_kept() -> None:
    with HostileServer(http({"result": 1}, headers="Set-Cookie: a=b; Path=/\r\n")) as server:
        engine = ServerEngine(plain(server.port))
        engine.evaluate("a.b", {})
        engine.evaluate("a.b", {})
        engine.close()
    assert b"cookie" not in server.requests[1].lower()


def test_the_token_is_read_anew_for_each_question_and_never_shown(ask: Ask, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with HostileServer(RIGHT) as server:
        endpoint = plain(server.port, token_file=str(token))
        for text in ("first\n", "second\n"):
            token.write_text(text)
            ask(endpoint, {})
    assert b"Bearer first\r\n" in server.requests[0]
    assert b"Bearer second\r\n" in server.requests[1]
    assert "hush" not in repr(plain(1, token="hush"))


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"with blanks in it", b"\xff"])
def test_a_file_that_holds_no_token_is_said(ask: Ask, tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with HostileServer(RIGHT) as server, pytest.raises(SettingsError, match="token"):
        ask(plain(server.port, token_file=str(token)), {})
    assert server.requests == []


@pytest.mark.parametrize("field", ["ca_file", "client_cert"])
def test_a_certificate_file_that_is_not_there_or_holds_none_is_said(ask: Ask, tmp_path: Path, field: str) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    endpoint = {"scheme": "https", "retries": 0}
    with pytest.raises(SettingsError, match="nowhere"):
        ask(plain(free_port(), **endpoint, **{field: "/nowhere.pem"}), {})
    with pytest.raises(InterlockError):
        ask(plain(free_port(), **endpoint, **{field: str(broken)}), {})


def test_an_input_that_is_no_json_is_refused_and_nothing_is_sent(ask: Ask) -> None:
    with HostileServer(RIGHT) as server, pytest.raises(PolicyError, match="cannot be written as JSON"):
        ask(plain(server.port), {"n": float("nan")})
    assert server.requests == []


def test_a_deadline_leaves_no_thread_behind() -> None:
    with HostileServer(silence, drip(RIGHT), drip(RIGHT, first=len(RIGHT) - 90)) as server:
        engine = ServerEngine(plain(server.port, timeout=0.2, retries=0))
        for _ in range(3):
            with pytest.raises(PolicyError, match="did not answer"):
                engine.evaluate("a.b", {})
        for thread in threading.enumerate():
            if thread.name == "interlock-opa":
                thread.join(timeout=2)
                assert not thread.is_alive()
        engine.close()


def test_the_clients_way_to_rewrite_old_rego_stays_off() -> None:
    from interlock.policy.engines.server_client import GuardedClient

    old = "package a\n\nx { input.y }\n"
    refused = {"code": "invalid_parameter", "message": "m", "errors": [{"code": "rego_parse_error", "message": "`if`"}]}
    with HostileServer(http(refused, status="400 Bad Request"), http({})) as server:
        client = GuardedClient(plain(server.port))
        with pytest.raises(Exception, match=r"."):  # the client raises a class of its own for each kind of refusal
            client.update_policy_from_string(old, "a")
        with pytest.raises(PolicyError, match="as it is written"):
            client.update_policy_from_string(old, "a", rego_compat=True)
        client.close_connection()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("revisions", "digest"),
    [
        pytest.param({"bundles": {"b": {"revision": f"1.0@sha256:{'a' * 64}"}}}, "a" * 64, id="one bundle"),
        pytest.param({"revision": f"1.0@sha256:{'a' * 64}"}, "a" * 64, id="the old form"),
        pytest.param({"bundles": {"b": {"revision": "1.0"}}}, "", id="no digest"),
        pytest.param({"bundles": {"b": {"revision": f"sha256:{'a' * 64}"}}}, "", id="no at"),
        pytest.param({"bundles": {"b": {"revision": f"x@sha256:{'a' * 63}"}}}, "", id="too short"),
        pytest.param({"bundles": {"b": {"revision": f"x@sha256:{'a' * 64}\n"}}}, "", id="a newline"),
        pytest.param({"bundles": {"b": {"revision": f"x@sha256:{'A' * 64}"}}}, "", id="upper case"),
        pytest.param({"bundles": {"b": {"revision": 5}}}, "", id="a number"),
        pytest.param({"bundles": {"b": 5}}, "", id="no object"),
        pytest.param({"bundles": {}}, "", id="no bundle"),
        pytest.param({}, "", id="nothing"),
        pytest.param(
            {"bundles": {"b": {"revision": f"x@sha256:{'a' * 64}"}, "c": {"revision": "1"}}}, "", id="two bundles"
        ),
    ],
)
def test_the_digest_is_that_of_the_only_bundle(revisions: dict[str, Json], digest: str) -> None:
    said = server_answers.said_in({"result": 1, "provenance": revisions}, expected="", where="x")
    assert said.answer.bundle_digest == digest


@pytest.mark.parametrize("provenance", [None, [], "x", {"version": 5, "bundles": []}])
def test_provenance_of_another_shape_says_nothing(provenance: Json) -> None:
    document: dict[str, Json] = {"result": 1, "provenance": provenance, "decision_id": 7, "metrics": [1]}
    said = server_answers.said_in(document, expected="", where="x")
    assert (said.version, said.answer.bundle_digest, said.answer.decision_id) == ("", "", "")


def test_an_answer_by_another_bundle_than_the_settings_name_is_an_error_that_names_both(ask: Ask) -> None:
    with HostileServer(RIGHT) as server:
        assert ask(plain(server.port), {}, expected_digest=DIGEST).value == 42
        with pytest.raises(PolicyError, match=f"{DIGEST}.*{'e' * 64}"):
            ask(plain(server.port), {}, expected_digest="e" * 64)


def test_after_a_fork_each_process_has_its_own_connection() -> None:
    with HostileServer(RIGHT) as server:
        engine = ServerEngine(plain(server.port))
        assert engine.evaluate("a.b", {}).value == 42
        ours = engine._client()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                right = engine.evaluate("a.b", {}).value == 42 and engine._client() is not ours
                status = 0 if right else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert engine._client() is ours
        engine.close()
