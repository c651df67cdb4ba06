"""Where the code of a training comes from, asked of real repositories, some of them hostile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interlock.gate import OpenSubject, Subject
from interlock.training import Ended, training_spec
from interlock.training.origin import BASE, OriginSafeguard, commit_of, packages

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(["git", "-C", str(folder), *words], env=plain, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "training").mkdir(parents=True)
    (root / "training" / "train.py").write_text("print('train')\n")
    (root / "training" / "model.py").write_text("layers = 3\n")
    (root / "uv.lock").write_text("version = 1\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_clean_code_is_named_by_its_commit(repository: Path) -> None:
    found = commit_of(repository / "training")
    assert found is not None
    assert found.document() == {"id": git(repository, "rev-parse", "HEAD"), "clean": True, "changed": []}
    alone = commit_of(repository / "training" / "train.py")
    assert alone is not None
    assert not alone.changed


def test_code_that_differs_from_its_commit_is_told_file_by_file(repository: Path) -> None:
    (repository / "training" / "train.py").write_text("print('other')\n")
    (repository / "training" / "new.py").write_text("")
    git(repository, "add", ".")  # what is staged is no part of a commit
    found = commit_of(repository / "training")
    assert found is not None
    assert found.changed == ("training/new.py", "training/train.py")


def test_code_outside_of_any_repository_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    assert commit_of(tmp_path / "train.py") is None


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "train.py").write_text("")
    assert commit_of(tmp_path / "train.py") is None


def test_nothing_that_a_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "core.sshCommand", "filter.evil.clean", "filter.evil.process"):
        git(repository, "config", name, str(script))
    git(repository, "config", "core.hooksPath", str(tmp_path))
    (repository / ".gitattributes").write_text("*.py filter=evil\n")
    (repository / "training" / "train.py").write_text("print('changed')\n")
    found = commit_of(repository / "training")
    assert found is not None
    assert found.changed == ("training/train.py",)
    assert not mark.exists()


def part_of(safeguard: OriginSafeguard) -> tuple[dict[str, object], tuple[Subject, ...]]:
    ended = Ended(exit_status=0, seconds=1.0, limit=None, log_tail="", log_bytes=0)
    part = safeguard.after(ended, Path())
    return json.loads(json.dumps(dict(part.configuration))), part.materials


def test_the_receipt_gets_commit_lock_file_packages_and_the_base_model(repository: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"weights")
    held = Subject(name=base.name, uri=base.as_uri(), digest="b" * 64)
    closed = []

    @contextmanager
    def opener(uri: str) -> Iterator[OpenSubject]:
        assert uri == "models/base"
        yield OpenSubject(subject=held, path=base, files=("",))
        closed.append(uri)

    spec = training_spec(command=["python", "training/train.py"], code=["training"], folder=repository)
    safeguard = OriginSafeguard(spec, base="models/base", opener=opener)
    brought = safeguard.provision()
    assert brought.environment == ((BASE, str(base)),)
    assert brought.visible == (base,)
    configuration, materials = part_of(safeguard)
    assert configuration["commit"] == {"id": git(repository, "rev-parse", "HEAD"), "clean": True, "changed": []}
    assert configuration["packages"] == packages()
    assert [material.name for material in materials] == ["uv.lock", "base.safetensors"]
    assert not closed
    safeguard.close()
    assert closed == ["models/base"]


def test_another_interpreter_s_packages_are_not_known() -> None:
    def opener(uri: str) -> Iterator[OpenSubject]:
        raise AssertionError(uri)

    safeguard = OriginSafeguard(training_spec(command=["/usr/bin/env", "true"]), opener=contextmanager(opener))
    assert safeguard.provision().visible == ()
    configuration, materials = part_of(safeguard)
    assert configuration == {"commit": None, "lock": None, "packages": None, "base": ""}
    assert materials == ()
