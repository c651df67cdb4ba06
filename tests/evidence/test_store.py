"""Held copies: what was looked at stays what it was, whatever happens to the source, the store or the process."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from tests.evidence.bench import Bench

from interlock.evidence import Store, take_snapshot
from interlock.evidence.claims import claimed, sweep
from interlock.gate import SettingsError, SubjectError, SubjectNotFoundError, UsageError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def held(store: Path) -> list[Path]:
    return sorted((store / "held").iterdir())


def test_opened_bytes_are_a_copy_with_the_digest_of_the_source(bench: Bench) -> None:
    data = bench.data()
    with bench.store.open(str(data)) as opened:
        assert opened.subject == take_snapshot(str(data)).subject
        assert contents(opened.path) == contents(data)
        assert opened.files == ("part-0.csv",)
        assert bench.folder / "store" in opened.path.parents


def test_source_that_changes_after_opening_changes_nothing(bench: Bench) -> None:
    data = bench.data()
    with bench.store.open(str(data)) as opened:
        (data / "part-0.csv").write_text("poison")
        (data / "more.csv").write_text("poison")
        assert contents(opened.path) == {"part-0.csv": b"a,b\n1,2\n"}
        assert take_snapshot(str(opened.path)).digest == opened.subject.digest


def test_single_file_keeps_its_name_and_two_names_of_the_same_bytes_stay_apart(bench: Bench) -> None:
    for name in ("model.pt", "model.safetensors"):
        (bench.folder / name).write_bytes(b"same")
        with bench.store.open(str(bench.folder / name)) as opened:
            assert opened.path.name == name
            assert opened.files == ("",)


def test_held_copies_are_private_and_read_only(bench: Bench) -> None:
    with bench.store.open(str(bench.data())) as opened:
        modes = {stat.S_IMODE(path.lstat().st_mode) for path in [opened.path, *opened.path.rglob("*")]}
    assert modes == {0o400, 0o500}
    assert stat.S_IMODE((bench.folder / "store").stat().st_mode) == 0o700


def test_second_opening_uses_the_same_copy(bench: Bench) -> None:
    data = str(bench.data())
    with bench.store.open(data) as first, bench.store.open(data) as second:
        assert first.path == second.path
    assert len(held(bench.folder / "store")) == 1


def altered(content: Path) -> None:
    (content / "part-0.csv").chmod(0o600)
    (content / "part-0.csv").write_text("poison\n")


def same_size(content: Path) -> None:
    (content / "part-0.csv").chmod(0o600)
    (content / "part-0.csv").write_bytes(b"x,y\n9,9\n")


def added(content: Path) -> None:
    content.chmod(0o700)
    (content / "part-1.csv").write_text("poison")


def removed(content: Path) -> None:
    content.chmod(0o700)
    (content / "part-0.csv").unlink()


def linked(content: Path) -> None:
    content.chmod(0o700)
    (content / "part-0.csv").unlink()
    (content / "part-0.csv").symlink_to("/etc/passwd")


def gone(content: Path) -> None:
    content.parent.chmod(0o700)
    content.chmod(0o700)
    shutil.rmtree(content)


@pytest.mark.parametrize(
    "damage", [altered, same_size, added, removed, linked, gone], ids=lambda damage: damage.__name__.replace("_", " ")
)
def test_damaged_copy_is_replaced_and_never_trusted(damage: object, bench: Bench) -> None:
    data = bench.data()
    with bench.store.open(str(data)) as opened:
        path, digest = opened.path, opened.subject.digest
    assert callable(damage)
    damage(path)
    with bench.store.open(str(data)) as again:
        assert again.subject.digest == digest
        assert contents(again.path) == contents(data)
    assert not list((bench.folder / "store" / "incoming").iterdir())


def test_source_that_holds_nothing_leaves_nothing_in_the_store(bench: Bench) -> None:
    with pytest.raises(SubjectNotFoundError), bench.store.open(str(bench.folder / "none")):
        pass
    (bench.data() / "link").symlink_to("/etc/passwd")
    with pytest.raises(SubjectError), bench.store.open(str(bench.data())):
        pass
    assert not held(bench.folder / "store")
    assert not list((bench.folder / "store" / "incoming").iterdir())


def test_threads_that_open_at_once_agree(bench: Bench) -> None:
    data = str(bench.data(text="x" * 100_000))

    def opened(_: int) -> tuple[str, bytes]:
        with bench.store.open(data) as subject:
            return subject.subject.digest, (subject.path / "part-0.csv").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(opened, range(16)))) == 1
    assert len(held(bench.folder / "store")) == 1


COPIER = """
    import os, sys
    from pathlib import Path
    from interlock.evidence import snapshot
    from interlock.evidence import Store
    before = snapshot._Metered.readinto
    def stuck(self, buffer):
        count = before(self, buffer)
        print("copying", flush=True)
        sys.stdin.read(1)
        return count
    snapshot._Metered.readinto = stuck
    with Store(Path(sys.argv[1])).open(sys.argv[2]) as opened:
        pass
"""


def copier(store: Path, data: Path) -> subprocess.Popen[bytes]:
    """Another process that is in the middle of copying."""
    command = [sys.executable, "-c", textwrap.dedent(COPIER), str(store), str(data)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"copying\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_copy_leaves_only_what_the_next_opening_sweeps(bench: Bench) -> None:
    data, store = bench.data(), bench.folder / "store"
    process = copier(store, data)
    end(process)
    assert list((store / "incoming").iterdir())
    assert not held(store)
    with bench.store.open(str(data)):
        assert not list((store / "incoming").iterdir())


def test_living_process_keeps_what_it_is_copying(bench: Bench) -> None:
    data, store = bench.data(), bench.folder / "store"
    process = copier(store, data)
    mine = set((store / "incoming").iterdir())
    try:
        with bench.store.open(str(bench.data("other", "z"))):
            assert set((store / "incoming").iterdir()) == mine
    finally:
        end(process)


def test_prune_takes_the_unused_and_leaves_what_is_being_read(bench: Bench) -> None:
    with bench.store.open(str(bench.data("old", "old"))):
        pass
    with bench.store.open(str(bench.data("used", "used"))) as used:
        assert bench.store.prune(unused_for=timedelta(days=1)) == 0
        assert bench.store.prune(unused_for=timedelta(seconds=-1)) == 1
        assert contents(used.path) == {"part-0.csv": b"used"}
    with bench.store.open(str(bench.data("old", "old"))) as again:
        assert contents(again.path) == {"part-0.csv": b"old"}


def test_files_of_a_held_folder_are_known_by_its_digest_only(bench: Bench) -> None:
    with bench.store.open(str(bench.data())) as opened:
        assert [entry.path for entry in bench.store.files_of(opened.subject.digest)] == ["part-0.csv"]
        manifest = opened.path.parent / "manifest.json"
        manifest.chmod(0o600)
        manifest.write_bytes(manifest.read_bytes().replace(b"part-0", b"part-9"))
        assert bench.store.files_of(opened.subject.digest) == ()
    assert bench.store.files_of("0" * 64) == ()


def test_store_that_cannot_be_used_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as refused, Store(tmp_path / "file").open(str(tmp_path)):
        pass
    assert str(tmp_path / "file") in str(refused.value)


def test_sweep_takes_only_claims_of_its_own_prefix(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "b-1.lock").touch()
    with claimed(tmp_path, "a-") as mine:
        sweep(tmp_path, "a-")
        assert mine.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "b-1.lock"}


def test_publication_appears_whole_under_its_name(bench: Bench) -> None:
    target = bench.folder / "models" / "today"
    published = bench.store.publish(bench.data(), str(target))
    assert contents(target) == {"part-0.csv": b"a,b\n1,2\n"}
    assert published.subject == take_snapshot(str(target)).subject
    assert [path.name for path in target.parent.iterdir()] == ["today"]


def test_publication_takes_the_place_of_an_older_one(bench: Bench) -> None:
    target = bench.folder / "models"
    bench.store.publish(bench.data("one", "1"), str(target))
    bench.store.publish(bench.data("two", "2"), str(target))
    assert contents(target) == {"part-0.csv": b"2"}
    assert not [path for path in bench.folder.iterdir() if path.name.startswith(".")]


def test_publication_of_a_file_and_over_a_link(bench: Bench) -> None:
    source, target = bench.folder / "weights", bench.folder / "model.bin"
    source.write_bytes(b"w")
    (bench.folder / "precious").write_bytes(b"precious")
    target.symlink_to(bench.folder / "precious")
    published = bench.store.publish(source, str(target))
    assert not target.is_symlink()
    assert target.read_bytes() == b"w"
    assert (bench.folder / "precious").read_bytes() == b"precious"
    assert published.digest == take_snapshot(str(target)).digest


def test_publication_of_something_unsafe_leaves_the_old_one(bench: Bench) -> None:
    target = bench.folder / "models"
    bench.store.publish(bench.data("one", "1"), str(target))
    bad = bench.data("bad", "bad")
    (bad / "link").symlink_to("/etc/passwd")
    with pytest.raises(SubjectError):
        bench.store.publish(bad, str(target))
    assert contents(target) == {"part-0.csv": b"1"}
    assert not [path for path in bench.folder.iterdir() if path.name.startswith(".")]


def test_publication_without_a_name_is_a_usage_error(bench: Bench) -> None:
    with pytest.raises(UsageError):
        bench.store.publish(bench.data(), os.sep)
