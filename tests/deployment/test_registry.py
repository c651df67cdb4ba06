"""Versions named by content, aliases that move in one step, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # no stubs are published
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from interlock.deployment import Alias, AliasRecord, FolderRegistry, Promotion, Version
from interlock.evidence.snapshot import PUBLISHING_NAME, take_snapshot
from interlock.evidence.store import Store
from interlock.gate import (
    OpenSubject,
    SubjectError,
    SubjectNotFoundError,
    UnavailableError,
    UnsafeSubjectError,
    UsageError,
)

CHAMPION = "registry://digits/champion"
MOMENT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty S3 bucket, set up the way a deployment does it: by fsspec's configuration."""
    region = {"region_name": "eu-central-1"}
    settings = {"endpoint_url": endpoint, "key": "test", "secret": "test", "client_kwargs": region}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("registry")
    yield "s3://registry/models"
    files.rm("registry", recursive=True)


@pytest.fixture(params=["folder", "file-url", "memory", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> FolderRegistry:
    if request.param == "s3":
        return FolderRegistry(request.getfixturevalue("bucket"))
    places = {
        "folder": str(tmp_path / "registry"),
        "file-url": (tmp_path / "registry").as_uri(),
        "memory": f"memory://registry-{tmp_path.name}",
    }
    return FolderRegistry(places[request.param])


def model(tmp_path: Path, text: str) -> str:
    folder = tmp_path / f"model-{text}"
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(text)
    (folder / "parts" / "metrics.json").write_text("{}")
    return str(folder)


def promoted(registry: FolderRegistry, store: Store, uri: str, *, receipts: tuple[str, ...] = ("r1",)) -> Promotion:
    with store.open(uri) as opened:
        return registry.promote(opened, to=CHAMPION, receipts=receipts, now=MOMENT)


def test_the_promoted_bytes_are_the_opened_ones(registry: FolderRegistry, store: Store, tmp_path: Path) -> None:
    promotion = promoted(registry, store, model(tmp_path, "a"))
    assert promotion.changed
    assert promotion.previous == ""
    assert promotion.receipts == ("r1",)
    assert promotion.promoted == MOMENT
    assert take_snapshot(promotion.uri).digest == promotion.digest == take_snapshot(model(tmp_path, "a")).digest
    assert registry.resolve(CHAMPION).uri == promotion.uri


def test_a_single_file_keeps_its_name(registry: FolderRegistry, store: Store, tmp_path: Path) -> None:
    promotion = promoted(registry, store, model(tmp_path, "a") + "/model.safetensors")
    assert promotion.uri.endswith("/model.safetensors")
    assert take_snapshot(promotion.uri).digest == promotion.digest


def test_promoting_the_same_bytes_again_changes_only_the_receipts(
    registry: FolderRegistry, store: Store, tmp_path: Path
) -> None:
    first = promoted(registry, store, model(tmp_path, "a"))
    again = promoted(registry, store, model(tmp_path, "a"))
    assert (again.changed, again.digest) == (False, first.digest)
    renewed = promoted(registry, store, model(tmp_path, "a"), receipts=("r2",))
    assert (renewed.changed, renewed.receipts) == (False, ("r2",))
    assert len(registry.history(CHAMPION)) == 1


def test_rollback_goes_back_one_step_at_a_time(registry: FolderRegistry, store: Store, tmp_path: Path) -> None:
    digests = [promoted(registry, store, model(tmp_path, text)).digest for text in "abc"]
    assert [version.digest for version in registry.history(CHAMPION)] == digests[::-1]
    assert registry.rollback(CHAMPION).digest == digests[1]
    assert registry.rollback(CHAMPION).digest == digests[0]
    assert registry.resolve(CHAMPION).digest == digests[0]
    with pytest.raises(UsageError, match="no former version"):
        registry.rollback(CHAMPION)
    again = promoted(registry, store, model(tmp_path, "c"))
    assert (again.digest, again.previous) == (digests[2], digests[0])


def test_nothing_promoted_is_nothing_found(registry: FolderRegistry) -> None:
    for ask in (registry.resolve, registry.rollback, registry.history):
        with pytest.raises(SubjectNotFoundError, match="nothing was promoted"):
            ask(CHAMPION)


@pytest.mark.parametrize(
    "to",
    [
        pytest.param("registry://../champion", id="parent-folder"),
        pytest.param("registry://digits/..", id="parent-as-alias"),
        pytest.param("registry://digits/../../etc", id="three-parts"),
        pytest.param("registry:///etc/champion", id="absolute-path"),
        pytest.param("registry://digits/.hidden", id="dot-file"),
        pytest.param("registry://digits/a\\b", id="backslash"),
        pytest.param("registry://digits/a\0", id="nul"),
        pytest.param("registry://digits/a\n", id="line-break"),
        pytest.param("registry://digits/%2e%2e", id="escaped-dots"),
        pytest.param("registry://digits/\uff41", id="fullwidth-letter"),
        pytest.param("registry://digits/" + "a" * 129, id="too-long"),
        pytest.param("registry://digits", id="no-alias"),
        pytest.param("registry://digits/", id="empty-alias"),
        pytest.param("s3://digits/champion", id="other-scheme"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_name_that_could_be_a_path_is_refused(
    to: str, registry: FolderRegistry, store: Store, tmp_path: Path
) -> None:
    with store.open(model(tmp_path, "a")) as opened, pytest.raises(UsageError, match="written registry://"):
        registry.promote(opened, to=to)
    assert not (tmp_path / "registry").exists()


def test_other_bytes_under_the_digest_stop_promotion_and_rollback(store: Store, tmp_path: Path) -> None:
    registry = FolderRegistry(str(tmp_path / "registry"))
    first = promoted(registry, store, model(tmp_path, "a"))
    second = promoted(registry, store, model(tmp_path, "b"))
    weights = Path(first.uri, "model.safetensors")
    weights.chmod(0o644)
    weights.write_text("swapped")
    with pytest.raises(UnsafeSubjectError, match="other bytes under this digest"):
        registry.rollback(CHAMPION)
    with pytest.raises(UnsafeSubjectError, match="other bytes under this digest"):
        promoted(registry, store, model(tmp_path, "a"))
    assert registry.resolve(CHAMPION).digest == second.digest


def test_bytes_that_change_under_our_hands_are_not_promoted(
    registry: FolderRegistry, store: Store, tmp_path: Path
) -> None:
    before = promoted(registry, store, model(tmp_path, "a"))
    with store.open(model(tmp_path, "b")) as opened:
        forged = OpenSubject(subject=opened.subject, path=Path(model(tmp_path, "c")), files=opened.files)
        with pytest.raises(UnsafeSubjectError, match="other bytes"):
            registry.promote(forged, to=CHAMPION)
    assert registry.resolve(CHAMPION).digest == before.digest


def test_a_former_version_that_is_gone_is_no_place_to_go_back_to(store: Store, tmp_path: Path) -> None:
    registry = FolderRegistry(str(tmp_path / "registry"))
    first = promoted(registry, store, model(tmp_path, "a"))
    promoted(registry, store, model(tmp_path, "b"))
    Path(first.uri).rename(tmp_path / "gone")
    with pytest.raises(SubjectNotFoundError, match="not in the registry"):
        registry.rollback(CHAMPION)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="array"),
        pytest.param('{"digest": "zz"}', id="no-digest"),
        pytest.param("{" * 100_000, id="deep"),
        pytest.param("truncate", id="truncated"),
        pytest.param("escape", id="file-that-leaves-its-folder"),
        pytest.param("receipts", id="receipts-that-are-text"),
    ],
)
def test_an_alias_file_of_another_shape_deploys_nothing(text: str, store: Store, tmp_path: Path) -> None:
    registry = FolderRegistry(str(tmp_path / "registry"))
    promoted(registry, store, model(tmp_path, "a"))
    path = tmp_path / "registry" / "digits" / "aliases" / "champion.json"
    good = path.read_text()
    broken = {
        "truncate": good[:-5],
        "escape": good.replace('"file":""', '"file":"../../../etc/passwd"'),
        "receipts": good.replace('["r1"]', '"r1"'),
    }
    path.write_text(broken.get(text, text))
    assert path.read_text() != good
    for ask in (registry.resolve, registry.rollback):
        with pytest.raises(SubjectError, match=r"alias file cannot be read.*champion.json"):
            ask(CHAMPION)
    with pytest.raises(SubjectError, match="alias file cannot be read"):
        promoted(registry, store, model(tmp_path, "b"))
    assert path.read_text() != good


def test_a_registry_that_cannot_be_written_is_worth_a_retry(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="registry cannot be used"):
        promoted(FolderRegistry("/proc/registry"), store, model(tmp_path, "a"))


def test_promoted_files_are_read_only(store: Store, tmp_path: Path) -> None:
    promotion = promoted(FolderRegistry(str(tmp_path / "registry")), store, model(tmp_path, "a"))
    assert Path(promotion.uri, "model.safetensors").stat().st_mode & 0o777 == 0o444


def test_nothing_is_left_beside_versions_and_aliases(store: Store, tmp_path: Path) -> None:
    promoted(FolderRegistry(str(tmp_path / "registry")), store, model(tmp_path, "a"))
    digits = tmp_path / "registry" / "digits"
    assert sorted(path.name for path in digits.iterdir()) == [".lock", "aliases", "versions"]
    assert [path.name for path in (digits / "aliases").iterdir()] == ["champion.json"]
    assert [path.name[:7] for path in (digits / "versions").iterdir()] == ["sha256-"]


def _promote_all(root: str, store: str, models: list[str]) -> None:
    registry = FolderRegistry(root)
    for uri in models:
        with Store(Path(store)).open(uri) as opened:
            registry.promote(opened, to=CHAMPION)


def test_promotions_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    root, store = str(tmp_path / "registry"), str(tmp_path / "store")
    models = [model(tmp_path, f"m{n}") for n in range(6)]
    code = (
        "import sys; from pathlib import Path\n"
        "from interlock.deployment import FolderRegistry; from interlock.evidence.store import Store\n"
        "for uri in sys.argv[1:]:\n"
        f"    with Store(Path({store!r})).open(uri) as opened:\n"
        f"        FolderRegistry({root!r}).promote(opened, to={CHAMPION!r})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, *models[n::3]]) for n in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    history = FolderRegistry(root).history(CHAMPION)
    assert sorted(version.digest for version in history) == sorted(take_snapshot(uri).digest for uri in models)


def test_a_promotion_killed_at_any_moment_leaves_a_valid_alias(tmp_path: Path) -> None:
    root, store = str(tmp_path / "registry"), str(tmp_path / "store")
    models = [model(tmp_path, name) for name in ("a", "b")]
    for uri in models:
        (Path(uri) / "big").write_bytes(os.urandom(1 << 20))
    _promote_all(root, store, models)
    digests = {take_snapshot(uri).digest for uri in models}
    code = (
        "from interlock.deployment import *; from interlock.evidence.store import Store; import itertools, shutil\n"
        "from pathlib import Path\n"
        f"registry, store = FolderRegistry({root!r}), Store(Path({store!r}))\n"
        "print('ready', flush=True)\n"
        f"for uri in itertools.cycle({models!r}):\n"
        "    with store.open(uri) as opened:\n"
        "        if registry.resolve('registry://digits/champion').digest != opened.subject.digest:\n"
        f"            shutil.rmtree(Path({root!r}) / 'digits' / 'versions' / f'sha256-{{opened.subject.digest}}')\n"
        f"        registry.promote(opened, to={CHAMPION!r})\n"
    )
    for delay in (0.0, 0.013, 0.029, 0.051, 0.083):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = FolderRegistry(root).resolve(CHAMPION)
        assert now.digest in digests
        assert take_snapshot(now.uri).digest == now.digest
    for digest in digests:  # what is there already is not published again, and only a publication sweeps
        shutil.rmtree(Path(root, "digits", "versions", f"sha256-{digest}"), ignore_errors=True)
    _promote_all(root, store, models)
    assert not list(Path(root).rglob("*publishing*")), "what the killed left behind is swept"


VERSIONS = st.builds(
    Version,
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    file=st.sampled_from(["", "model.safetensors", "ä b"]),
    receipts=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    promoted=st.integers(0, 10**6).map(lambda seconds: MOMENT + timedelta(seconds=seconds)),
)


@given(st.lists(VERSIONS, min_size=1, max_size=8, unique_by=lambda version: version.digest))
def test_a_record_survives_its_file_and_rollback_undoes_promotion(versions: list[Version]) -> None:
    record = AliasRecord(current=versions[0])
    for version in versions[1:]:
        before, record = record, record.promoted(version)
        assert AliasRecord.read(record.write(), where="") == record
        back = record.back()
        assert back is not None
        assert (back.current, back.previous) == (before.current, before.previous)
    assert json.loads(record.write())["digest"] == versions[-1].digest


@given(st.text(max_size=40))
def test_whatever_is_parsed_prints_as_it_was_written(text: str) -> None:
    try:
        alias = Alias.parse(f"registry://{text}")
    except UsageError:
        return
    assert str(alias) == f"registry://{text}"
    assert {"", ".", ".."}.isdisjoint({alias.name, alias.alias})


def test_an_upload_that_did_not_finish_is_done_again(bucket: str, store: Store, tmp_path: Path) -> None:
    registry = FolderRegistry(bucket)
    first = promoted(registry, store, model(tmp_path, "a"))
    files = fsspec.filesystem("s3", use_listings_cache=False)
    with store.open(model(tmp_path, "b")) as opened:
        version = f"{bucket}/digits/versions/sha256-{opened.subject.digest}"
    files.pipe_file(f"{version}/{PUBLISHING_NAME}", b"")
    files.pipe_file(f"{version}/model.safetensors", b"hal")
    assert registry.resolve(CHAMPION).digest == first.digest
    second = promoted(registry, store, model(tmp_path, "b"))
    assert take_snapshot(second.uri).digest == second.digest


def test_exported_members() -> None:
    import interlock.deployment as room

    assert sorted(room.__all__) == ["Alias", "AliasRecord", "FolderRegistry", "Promotion", "Version"]
