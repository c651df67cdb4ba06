"""Where policy comes from: URLs with and without trouble, the copy that is kept, and who may ask a server."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # no stubs are published
import pytest
from moto.server import ThreadedMotoServer
from tests.policy.bundles.bundle_server import BundleServer, Handler, answering, bundle_server
from tests.policy.bundles.bundle_tools import RULE, age, number, tar_gz, untar, version, write
from tests.policy.decisions.test_decider import CLEAN, measured

from interlock.cli import main
from interlock.gate import InterlockError, PolicyError, Settings, SettingsError, UnavailableError, Verdict
from interlock.policy import Bundle, Library, load_policy, open_decider
from interlock.policy.bundles import remote as bundle_remote
from interlock.policy.bundles.archive import packed
from interlock.policy.bundles.kept import place_of
from interlock.policy.bundles.keys import load_signing_key
from interlock.policy.bundles.remote import check_url, fetch


def test_without_settings_the_shipped_bundle_decides(settings: Settings) -> None:
    assert load_policy(settings).digest == Bundle.load().digest
    assert load_policy(settings, online=False).origin == "interlock.policies"


def test_a_folder_an_archive_and_a_rule_are_read_where_nothing_must_be_signed(
    settings: Settings, tmp_path: Path
) -> None:
    free = replace(settings, policy_keys="")
    folder = write(tmp_path / "folder", {"r.rego": RULE})
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(packed(Bundle.load(folder)))
    digests = {load_policy(replace(free, policy=str(p))).digest for p in (folder, archive, folder / "r.rego")}
    assert digests == {Bundle.load(folder).digest}
    with pytest.raises(PolicyError, match="not signed"):
        load_policy(replace(settings, policy=str(folder)))
    with pytest.raises(PolicyError, match="not signed"):
        load_policy(replace(settings, policy_layers=(str(folder),)))


def test_a_bundle_of_a_server_decides_and_a_newer_one_after_it(
    named: Settings, server: BundleServer, keys: Path
) -> None:
    assert number(named) == 1
    assert number(named) == 1
    server.content = version(keys, 2)
    assert number(named) == 2
    assert [bool(etag) for etag in server.asked] == [False, True, True]
    found = load_policy(named)
    assert (found.origin, found.notes) == (server.url, ())


def test_a_server_is_not_asked_again_before_its_time(named: Settings, server: BundleServer, keys: Path) -> None:
    patient = replace(named, policy_poll=60.0)
    assert number(patient) == 1
    server.content = version(keys, 2)
    assert number(patient) == 1
    assert len(server.asked) == 1
    age(patient, 61)
    assert number(patient) == 2
    age(patient, -3600)  # the clock was set back
    server.content = version(keys, 3)
    assert number(patient) == 3


def test_a_server_that_has_nothing_newer_is_left_alone_again(named: Settings, server: BundleServer) -> None:
    patient = replace(named, policy_poll=60.0)
    number(patient)
    age(patient, 61)
    number(patient)
    number(patient)
    assert len(server.asked) == 2


def test_layers_may_come_from_servers_too(settings: Settings, server: BundleServer) -> None:
    with_layer = replace(settings, policy_layers=(server.url,))
    found = load_policy(with_layer)
    assert found.data["number"] == 1
    assert found.origin == f"interlock.policies + {server.url}"
    assert found.digest != Bundle.load().digest
    assert load_policy(with_layer, online=False).digest == found.digest


def slow(handler: Handler) -> None:
    handler.state.closing.wait(5)


def trickling(handler: Handler) -> None:
    """Never long enough without a byte for a timeout of the socket."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.state.closing.wait(0.05):
        handler.wfile.write(b"x")


def cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(handler.state.content)))
    handler.end_headers()
    handler.wfile.write(handler.state.content[:-10])
    handler.close_connection = True


def cut_in_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"a\r\n0123456789\r\n")
    handler.close_connection = True


def hanging_up(handler: Handler) -> None:
    handler.close_connection = True


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"\0\xff this is no http\r\n\r\n")
    handler.close_connection = True


AWAY = [
    pytest.param(answering(500), "500", id="500"),
    pytest.param(answering(503), "503", id="503"),
    pytest.param(answering(429), "429", id="asked too often"),
    pytest.param(cut, "broke off after", id="cut off"),
    pytest.param(cut_in_chunks, "broke off", id="cut off between chunks"),
    pytest.param(hanging_up, "broke off", id="hanging up"),
    pytest.param(garbage, "broke off", id="no http"),
]


@pytest.mark.parametrize(("misbehaviour", "message"), AWAY)
def test_a_server_in_trouble_leaves_the_last_good_copy_deciding_and_that_is_said(
    named: Settings,
    server: BundleServer,
    misbehaviour: Callable[[Handler], None],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.misbehaviour = misbehaviour
    with pytest.raises(UnavailableError, match=message) as refused:  # nothing good is here yet
        load_policy(named)
    assert refused.value.where == server.url
    assert refused.value.next_step
    server.misbehaviour = None
    assert number(named) == 1
    server.misbehaviour = misbehaviour
    age(named, 7200)
    with caplog.at_level(logging.WARNING):
        found = load_policy(named)
    assert found.data["number"] == 1
    assert message in found.notes[0]
    assert "copy of 2 hours ago" in found.notes[0]
    assert found.notes[0] in caplog.text
    server.misbehaviour = None
    assert load_policy(named).notes == ()


@pytest.mark.parametrize("misbehaviour", [slow, trickling])
def test_one_deadline_holds_for_all_of_a_fetch(
    named: Settings, server: BundleServer, misbehaviour: Callable[[Handler], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert number(named) == 1
    monkeypatch.setattr(bundle_remote, "DEADLINE", 0.3)
    server.misbehaviour = misbehaviour
    found = load_policy(named)
    assert found.data["number"] == 1
    assert "longer than 0.3 s" in found.notes[0] or "timed out" in found.notes[0]


def test_a_server_that_is_down_leaves_the_last_good_copy_deciding(
    settings: Settings, keys: Path, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with bundle_server(tls[1], content=version(keys, 1)) as state:
        named = replace(settings, policy=state.url, policy_poll=1e-9)
        assert number(named) == 1
    found = load_policy(named)
    assert found.data["number"] == 1
    assert "cannot be reached" in found.notes[0]
    assert number(named, online=False) == 1


def test_a_server_that_does_not_prove_who_it_is_gives_nothing(
    named: Settings, server: BundleServer, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert number(named) == 1
    server.content = version(keys, 2)
    monkeypatch.delenv("SSL_CERT_FILE")
    found = load_policy(named)
    assert found.data["number"] == 1
    assert "certificate" in found.notes[0].lower()
    with pytest.raises(UnavailableError, match=r"(?i)certificate"):
        load_policy(replace(named, home=named.home / "other"))


@pytest.mark.parametrize(
    ("misbehaviour", "message"),
    [
        pytest.param(answering(302, {"Location": "https://example.com/b.tar.gz"}), "redirects", id="elsewhere"),
        pytest.param(answering(301, {"Location": "file:///etc/passwd"}), "redirects", id="to a file"),
        pytest.param(answering(307, {"Location": "/other.tar.gz"}), "redirects", id="to another path"),
        pytest.param(answering(401), "401", id="who are you"),
        pytest.param(answering(403), "403", id="not for you"),
        pytest.param(answering(404), "404", id="gone"),
        pytest.param(answering(200), "cannot be unpacked", id="no bundle"),
        pytest.param(answering(206, {"Content-Range": "bytes 0-1/9"}), "206", id="a part of it"),
        pytest.param(answering(204, {"Content-Length": "0"}), "204", id="nothing"),
    ],
)
def test_an_answer_that_is_no_bundle_is_refused_until_the_cause_is_gone(
    named: Settings, server: BundleServer, misbehaviour: Callable[[Handler], None], message: str
) -> None:
    assert number(named) == 1
    server.misbehaviour = misbehaviour
    for _ in range(2):
        with pytest.raises(PolicyError, match=message) as refused:
            load_policy(named)
        assert server.url in refused.value.where
        assert refused.value.next_step
    assert number(named, online=False) == 1
    server.misbehaviour = None
    assert number(named) == 1


def test_not_modified_without_a_question_is_refused(named: Settings, server: BundleServer) -> None:
    server.misbehaviour = answering(304, {"Content-Length": "0"})
    with pytest.raises(PolicyError, match="304"):
        load_policy(named)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda keys: version(keys, 2, signer="stranger/release"),
            r"does not hold: bad_signature \(",
            id="another key",
        ),
        pytest.param(lambda keys: tar_gz({"r.rego": RULE.encode()}), "is not signed", id="not signed"),
        pytest.param(
            lambda keys: tar_gz(untar(version(keys, 2)) | {"r.rego": b"package site.rule\n"}),
            "not the one that was signed",
            id="changed after signing",
        ),
        pytest.param(lambda keys: version(keys, 2)[:-20], "cannot be unpacked", id="cut off on the server's disk"),
        pytest.param(lambda keys: b"", "cannot be unpacked", id="empty"),
    ],
)
def test_a_bad_new_bundle_is_refused_until_the_cause_is_gone(
    named: Settings, server: BundleServer, keys: Path, spoil: Callable[[Path], bytes], message: str
) -> None:
    assert number(named) == 1
    server.content = spoil(keys)
    for _ in range(2):
        with pytest.raises(PolicyError, match=message):
            load_policy(named)
        with pytest.raises(PolicyError, match=message):
            open_decider(named)
    assert number(named, online=False) == 1  # what was verified before is still here for DAG parsing
    server.content = version(keys, 3)
    assert number(named) == 3


def test_more_than_the_limit_is_not_read(
    named: Settings, server: BundleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_remote, "MAX_BYTES", 100)
    with pytest.raises(PolicyError, match="larger than 100 bytes"):
        load_policy(named)


def test_dag_parsing_asks_no_server(
    named: Settings, server: BundleServer, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PolicyError, match=r"no copy.*interlock policy fetch"):
        load_policy(named, online=False)
    assert server.asked == []
    number(named)
    server.content = version(keys, 2)

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert number(named, online=False) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda place, keys: place.write_bytes(b""), id="emptied"),
        pytest.param(lambda place, keys: place.write_bytes(place.read_bytes()[:-1]), id="cut off"),
        pytest.param(lambda place, keys: place.write_bytes(b"[" * 9000), id="no head"),
        pytest.param(lambda place, keys: place.write_bytes(b"\xff\n"), id="no text"),
        pytest.param(lambda place, keys: shutil.move(place, place.with_name("x")), id="moved away"),
    ],
)
def test_a_spoiled_copy_counts_as_none(
    named: Settings, server: BundleServer, keys: Path, spoil: Callable[[Path, Path], object]
) -> None:
    patient = replace(named, policy_poll=60.0)
    number(patient)
    spoil(place_of(patient.home, patient.policy), keys)
    with pytest.raises(PolicyError, match="no copy"):
        load_policy(patient, online=False)
    assert number(patient) == 1
    assert server.asked == ["", ""]


def test_a_copy_that_somebody_put_there_is_held_against_its_signature(
    named: Settings, server: BundleServer, keys: Path
) -> None:
    from interlock.policy.bundles.kept import keep

    patient = replace(named, policy_poll=60.0)
    keep(place_of(patient.home, patient.policy), patient.policy, version(keys, 9, signer="stranger/release"), '"x"')
    with pytest.raises(PolicyError, match="does not hold"):
        load_policy(patient, online=False)
    assert number(patient) == 1
    assert server.asked == [""]


def test_the_copy_of_another_url_is_not_taken(named: Settings, server: BundleServer) -> None:
    number(named)
    other = replace(named, policy=server.url.replace("bundle.tar.gz", "other.tar.gz"))
    shutil.copy(place_of(named.home, named.policy), place_of(other.home, other.policy))
    with pytest.raises(PolicyError, match="no copy"):
        load_policy(other, online=False)


def test_a_copy_that_cannot_be_kept_is_said_and_the_verified_bundle_decides(
    named: Settings, server: BundleServer
) -> None:
    named.home.mkdir(parents=True, exist_ok=True)
    (named.home / "policy").write_text("in the way")
    found = load_policy(named)
    assert found.data["number"] == 1
    assert "cannot be kept" in found.notes[0]
    (named.home / "policy").unlink()
    assert load_policy(named).notes == ()


def test_a_disk_that_fills_up_leaves_the_old_copy(named: Settings, server: BundleServer, keys: Path) -> None:
    folder = named.home / "policy"
    folder.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder))
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        assert number(named) == 1
        noise = {
            "r.rego": RULE.encode(),
            "data.json": b'{"number": 2, "noise": "%s"}' % os.urandom(20_000).hex().encode(),
        }
        signed = packed(Bundle.unpack(tar_gz(noise), origin="made"), key=load_signing_key(keys / "release.key"))
        server.content = signed
        found = load_policy(named)
        assert found.data["number"] == 2
        assert "No space left" in found.notes[0]
        assert number(named, online=False) == 1
        assert len(list(folder.iterdir())) == 1
    finally:
        subprocess.run(("umount", str(folder)), check=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/b.tar.gz", "plain http"),
        ("http://127.0.0.1.example.com/b.tar.gz", "plain http"),
        ("http://localhost.example.com/b.tar.gz", "plain http"),
        ("https://user:secret@example.com/b.tar.gz", "user name or password"),
        ("https://token@example.com/b.tar.gz", "user name or password"),
        ("ftp://example.com/b.tar.gz", "no URL that a bundle"),
        ("file:///etc/bundle.tar.gz", "no URL that a bundle"),
        ("gs://bucket/b.tar.gz", "no URL that a bundle"),
        ("https:///b.tar.gz", "no URL that a bundle"),
        ("https://example.com/b.tar.gz#part", "no URL that a bundle"),
        ("https://example.com:99999/b.tar.gz", "no URL of a bundle"),
        ("https://[::1/b.tar.gz", "no URL of a bundle"),
        ("://x", "no URL that a bundle"),
    ],
)
def test_a_url_that_is_not_fetched_is_a_mistake_in_the_settings(settings: Settings, url: str, message: str) -> None:
    for changed in (replace(settings, policy=url), replace(settings, policy_layers=(url,))):
        with pytest.raises(SettingsError, match=message) as refused:
            load_policy(changed)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8/b", "http://localhost/b", "http://[::1]:8/b", "https://a.b/c?d=e"])
def test_loopback_may_be_asked_in_the_clear(url: str) -> None:
    check_url(url)


def test_a_bundle_of_a_url_must_be_signed_unless_somebody_says_otherwise(settings: Settings, keys: Path) -> None:
    with bundle_server(None, content=tar_gz({"r.rego": RULE.encode()})) as state:
        free = replace(settings, policy=state.url, policy_keys="")
        with pytest.raises(SettingsError, match=r"must be signed.*policy_keys.*allow_unsigned_policy"):
            load_policy(free)
        assert state.asked == []
        assert load_policy(replace(free, allow_unsigned_policy=True)).modules[0].package == "site.rule"
        with pytest.raises(PolicyError, match="not signed"):
            load_policy(replace(settings, policy=state.url, allow_unsigned_policy=True))


def test_a_url_that_is_signed_by_its_query_is_shown_without_it(settings: Settings, server: BundleServer) -> None:
    named = replace(settings, policy=f"{server.url}?signature=hush", policy_poll=1e-9)
    assert load_policy(named).origin == f"{server.url}?..."
    for misbehaviour in (answering(503), cut, garbage):
        server.misbehaviour = misbehaviour
        assert "hush" not in str(load_policy(named).notes)
    for misbehaviour in (answering(404), answering(302, {"Location": "/"}), answering(200)):
        server.misbehaviour = misbehaviour
        with pytest.raises(PolicyError) as refused:
            load_policy(named)
        assert "hush" not in str(refused.value)
    with pytest.raises(PolicyError) as refused:
        load_policy(replace(named, home=named.home / "other"), online=False)
    assert "hush" not in str(refused.value)


def test_loopback_is_asked_without_a_proxy(settings: Settings, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with bundle_server(None, content=version(keys, 1)) as state:
        assert number(replace(settings, policy=state.url)) == 1


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    client = {"region_name": "eu-central-1"}
    conf = {"endpoint_url": moto, "key": "test", "secret": "test", "client_kwargs": client}
    monkeypatch.setitem(fsspec.config.conf, "s3", conf)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("policies")
    yield "s3://policies/bundle.tar.gz"
    files.rm("policies", recursive=True)


def test_a_bundle_of_an_object_store_decides_and_is_kept(
    settings: Settings, keys: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fsspec.filesystem("s3", use_listings_cache=False)
    named = replace(settings, policy=bucket, policy_poll=1e-9)
    with pytest.raises(PolicyError, match="gives no bundle"):
        load_policy(named)
    files.pipe_file(bucket, version(keys, 1))
    assert number(named) == 1
    first = fetch(bucket)
    assert first is not None
    assert first.etag
    assert fetch(bucket, etag=first.etag) is None
    files.pipe_file(bucket, version(keys, 2))
    assert number(named) == 2
    files.pipe_file(bucket, version(keys, 3, signer="stranger/release"))
    with pytest.raises(PolicyError, match="does not hold"):
        load_policy(named)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listening: refused at once
        monkeypatch.setitem(fsspec.config.conf["s3"], "endpoint_url", f"http://127.0.0.1:{taken.getsockname()[1]}")
        found = load_policy(named)
    assert found.data["number"] == 2
    assert "cannot be reached" in found.notes[0]


@pytest.fixture
def deployed(named: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same for the command line, by its environment."""
    monkeypatch.setenv("INTERLOCK_POLICY", named.policy)
    monkeypatch.setenv("INTERLOCK_POLICY_KEYS", named.policy_keys)
    monkeypatch.setenv("INTERLOCK_POLICY_POLL", "0.000001")
    return named


@pytest.mark.usefixtures("deployed")
def test_the_command_fetches_and_tells(server: BundleServer, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            main(["policy", "fetch"])
    assert len(server.asked) == 2
    assert server.url in capsys.readouterr().out
    server.content = b"bad"
    with pytest.raises(SystemExit, match="3"):
        main(["policy", "fetch"])
    assert "cannot be unpacked" in capsys.readouterr().err


@pytest.mark.parametrize("format_", ["table", "json"])
def test_the_command_does_not_call_a_kept_copy_fetched(
    deployed: Settings, server: BundleServer, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    kept = load_policy(deployed)
    server.misbehaviour = answering(503)
    with pytest.raises(SystemExit, match="3"):
        main(["policy", "fetch", "--format", format_])
    said = capsys.readouterr()
    assert "policy was not fetched" in said.err
    assert "503" in said.err
    assert "deciding by the copy of" in said.err
    assert kept.digest in said.out


def test_the_command_says_when_nothing_could_be_kept(
    deployed: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise PolicyError("a copy of the bundle cannot be kept: No space left on device")

    monkeypatch.setattr("interlock.policy.bundles.source.keep", full)
    with pytest.raises(SystemExit, match="3"):
        main(["policy", "fetch"])
    assert "policy was not fetched: a copy of the bundle cannot be kept" in capsys.readouterr().err


def test_doctor_says_that_the_kept_copy_decides(
    deployed: Settings,
    server: BundleServer,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    load_policy(deployed)
    server.misbehaviour = answering(503)
    with pytest.raises(SystemExit):
        main(["doctor", "--format", "json"])
    (check,) = (c for c in json.loads(capsys.readouterr().out)["checks"] if c["what"] == "policy engine")
    assert check["state"] == "ok"
    assert "deciding by the copy" in check["next_step"]


def test_a_decider_that_lives_long_follows_its_server(
    settings: Settings, server: BundleServer, keys: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    document = measured(**CLEAN)
    named = replace(settings, engine="embedded", policy_layers=(server.url,), policy_poll=1e-9)
    decider = open_decider(named)
    try:
        digests = [decider.decide(document).bundle_digest]
        server.content = version(keys, 2)
        digests.append(decider.decide(document).bundle_digest)
        assert digests[1] == decider.bundle_digest == load_policy(named).digest
        assert digests[0] != digests[1]
        server.content = version(keys, 3, signer="stranger/release")
        refused = decider.decide(document)
        assert (refused.verdict, refused.bundle_digest) == (Verdict.UNDECIDED, "")
        assert "does not hold" in refused.errors[0]
        server.misbehaviour = answering(503)
        kept = decider.decide(document)
        assert (kept.verdict, kept.bundle_digest) == (Verdict.ALLOW, digests[1])
        assert "deciding by the copy" in decider.bundle.notes[0]
        server.misbehaviour, server.content = None, version(keys, 4)
        assert decider.decide(document).verdict is Verdict.ALLOW
        assert decider.bundle.data["number"] == 4
    finally:
        decider.close()


def test_the_cluster_policy_asks_no_server(named: Settings, server: BundleServer) -> None:
    pytest.importorskip("airflow")
    from interlock.airflow_plugin.rules import read_rules

    with pytest.raises(PolicyError, match="interlock policy fetch"):
        read_rules(named)
    load_policy(named)
    with pytest.raises(PolicyError, match="does not say which steps are protected"):
        read_rules(named)
    assert len(server.asked) == 1


def test_errors_of_a_fetch_are_of_this_project(named: Settings, server: BundleServer) -> None:
    server.misbehaviour = garbage
    with pytest.raises(InterlockError):
        fetch(server.url)
