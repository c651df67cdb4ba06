"""S3, for real over HTTP (moto's server on loopback), and the in-memory store: snapshots and publication."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # no stubs are published
import pytest
from moto.server import ThreadedMotoServer
from tests.evidence.bench import Bench

from interlock.evidence import Store, take_snapshot
from interlock.evidence.snapshot import MANIFEST_NAME, PUBLISHING_NAME
from interlock.gate import SubjectError, SubjectNotFoundError, UnavailableError


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["s3://lake", "memory://lake"])
def lake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, set up the way a deployment does it: by fsspec's configuration."""
    url: str = request.param
    if url.startswith("s3"):
        address = request.getfixturevalue("endpoint")
        settings = {
            "endpoint_url": address,
            "key": "test",
            "secret": "test",
            "client_kwargs": {"region_name": "eu-central-1"},
        }
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
        files = fsspec.filesystem("s3", use_listings_cache=False)
        files.mkdir("lake")
        yield url
        files.rm("lake", recursive=True)
    else:
        yield url
        memory = fsspec.filesystem("memory")
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


def put(url: str, objects: dict[str, bytes]) -> None:
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    for name, content in objects.items():
        files.pipe_file(f"{root}/{name}", content)


def test_prefix_has_the_digest_of_the_same_folder_on_disk(lake: str, bench: Bench) -> None:
    put(lake, {"train/part-0.csv": b"a,b\n1,2\n"})
    here = take_snapshot(str(bench.data()))
    there = take_snapshot(f"{lake}/train/")
    assert (there.digest, there.name, there.uri) == (here.digest, "train", f"{lake}/train/")


def test_single_object_has_the_digest_of_the_file(lake: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000  # more than one block of a multipart upload or a read-ahead
    (tmp_path / "model.bin").write_bytes(content)
    put(lake, {"models/model.bin": content})
    snapshot = take_snapshot(f"{lake}/models/model.bin")
    assert snapshot.digest == take_snapshot(str(tmp_path / "model.bin")).digest
    assert snapshot.single_file


def test_overwritten_object_is_seen_and_the_held_copy_stays(lake: str, bench: Bench) -> None:
    put(lake, {"train/a.csv": b"good", "train/b.csv": b"good"})
    with bench.store.open(f"{lake}/train") as opened:
        put(lake, {"train/a.csv": b"evil"})
        assert (opened.path / "a.csv").read_bytes() == b"good"
        with bench.store.open(f"{lake}/train") as again:
            assert again.subject.digest != opened.subject.digest
            assert (again.path / "a.csv").read_bytes() == b"evil"


def test_nothing_there_is_not_found(lake: str) -> None:
    with pytest.raises(SubjectNotFoundError):
        take_snapshot(f"{lake}/none")


def test_published_folder_has_the_digest_of_its_source(lake: str, bench: Bench) -> None:
    data = bench.data()
    published = bench.store.publish(data, f"{lake}/models/today")
    assert published.digest == take_snapshot(str(data)).digest
    assert take_snapshot(f"{lake}/models/today").subject == published.subject
    with bench.store.open(f"{lake}/models/today") as opened:
        assert opened.files == ("part-0.csv",)


def test_published_file_has_the_digest_of_its_source(lake: str, bench: Bench) -> None:
    source = bench.data() / "part-0.csv"
    published = bench.store.publish(source, f"{lake}/models/model.csv")
    assert published.digest == take_snapshot(str(source)).digest == take_snapshot(f"{lake}/models/model.csv").digest


def test_publication_replaces_all_that_was_there(lake: str, bench: Bench) -> None:
    put(lake, {"models/old.bin": b"old"})
    bench.store.publish(bench.data(), f"{lake}/models")
    assert [entry.path for entry in take_snapshot(f"{lake}/models").files] == ["part-0.csv"]


def test_unfinished_publication_is_refused_until_it_is_published_again(lake: str, bench: Bench) -> None:
    put(lake, {f"models/{PUBLISHING_NAME}": b"", "models/part-0.csv": b"half"})
    with pytest.raises(SubjectError, match="did not finish"):
        take_snapshot(f"{lake}/models")
    bench.store.publish(bench.data(), f"{lake}/models")
    assert take_snapshot(f"{lake}/models").size == 8


@pytest.mark.parametrize("change", [{"part-0.csv": b"a,b\n9,9\n"}, {"part-1.csv": b"more"}], ids=["altered", "added"])
def test_published_folder_that_was_changed_is_refused(lake: str, bench: Bench, change: dict[str, bytes]) -> None:
    bench.store.publish(bench.data(), f"{lake}/models")
    put(f"{lake}/models", change)
    with pytest.raises(SubjectError, match="published manifest"):
        take_snapshot(f"{lake}/models")


def test_forged_manifest_does_not_help(lake: str, bench: Bench) -> None:
    bench.store.publish(bench.data(), f"{lake}/models")
    put(f"{lake}/models", {MANIFEST_NAME: b"{}"})
    with pytest.raises(SubjectError, match="published manifest"):
        take_snapshot(f"{lake}/models")


def test_storage_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = {
        "endpoint_url": "http://127.0.0.1:9",  # the discard port: nobody listens
        "key": "test",
        "secret": "test",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    with pytest.raises(UnavailableError, match="did not answer"):
        take_snapshot("s3://lake/x")


def test_a_held_copy_knows_the_region_of_its_bucket(lake: str, bench: Bench) -> None:
    put(lake, {"train/part-0.csv": b"a,b\n1,2\n"})
    with bench.store.open(f"{lake}/train/") as opened:
        assert opened.region == ("eu-central-1" if lake.startswith("s3") else "")


def test_a_local_copy_stands_where_the_deployment_says(tmp_path: Path, bench: Bench) -> None:
    with Store(tmp_path / "store", region="eu-north-1").open(str(bench.data())) as opened:
        assert opened.region == "eu-north-1"
