"""The part of the lock that goes into the image: all that the extras need, with the lock's own hashes."""

from __future__ import annotations

import configparser
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements/lock.txt").read_text()


def part(*extras: str) -> str:
    command = [sys.executable, "image/locked.py", *extras]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def names(requirements: str) -> set[str]:
    return {line.partition("==")[0] for line in requirements.splitlines() if line[:1].isalnum()}


def installed_closure(extras: list[str]) -> set[str]:
    """What the extras need on this machine, by what the installed packages say of themselves."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    texts = settings["options"]["install_requires"].split("\n")
    texts += [text for extra in extras for text in settings["options.extras_require"][extra].split("\n")]
    waiting = [Requirement(text) for text in texts if text.strip()]
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        applies = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if str(one) in seen or not applies:
            continue
        seen.add(str(one))
        found.add(canonicalize_name(one.name))
        for text in metadata.requires(one.name) or ():
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in ("", *one.extras)):
                waiting.append(Requirement(text.partition(";")[0]))
    return found


@pytest.mark.parametrize("extras", [[], ["kubeflow", "gx", "artifacts"], ["kubeflow", "postgres", "s3", "privacy"]])
def test_it_has_all_that_the_extras_need(extras: list[str]) -> None:
    assert installed_closure(extras) - names(part(*extras)) == set()


def test_it_has_no_orchestrator_and_no_test_tool_unless_asked() -> None:
    assert names(part("kubeflow", "gx", "artifacts")) & {"apache-airflow", "torch", "pytest", "moto", "ruff"} == set()
    assert "apache-airflow" in names(part("airflow"))


def test_every_line_is_a_line_of_the_lock_with_hashes() -> None:
    lines = part("kubeflow", "gx").splitlines()
    assert set(lines) <= set(LOCK.splitlines())
    hashes = [line for line in lines if "--hash=sha256:" in line]
    assert len(hashes) > len(names("\n".join(lines)))
    pins = [place for place, line in enumerate(lines) if line[:1].isalnum()]
    assert all("--hash=sha256:" in lines[place + 1] for place in pins)


def test_the_whole_lock_is_reached_from_all_extras_and_dev() -> None:
    assert names(part("all", "dev")) == names(LOCK) - {"opa-golib-python-bindings"}


def test_an_extra_that_is_not_there_is_named() -> None:
    ended = subprocess.run(  # noqa: PLW1510
        [sys.executable, "image/locked.py", "torhc"], capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 1
    assert "no extra 'torhc'" in ended.stderr
