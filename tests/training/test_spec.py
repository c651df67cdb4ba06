"""What a person writes, and what is made of it or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interlock.gate import SubjectError, UnsafeSubjectError, UsageError
from interlock.training import Limits, TrainingSpec, training_spec
from interlock.training.code import hold_code


def trainer(data: Path, out: Path) -> None:
    """A function that can be found in this file."""


class Trainers:
    @staticmethod
    def fit(data: Path, out: Path) -> None:
        """A function inside a class."""


def test_a_script_is_its_own_code_and_its_path_becomes_absolute(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    spec = training_spec(command=["python", "train.py", "--epochs", "3"], folder=tmp_path)
    assert spec.code == (tmp_path / "train.py",)
    assert spec.command == ("python", str(tmp_path / "train.py"), "--epochs", "3")


def test_a_missing_script_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the training script is not there \(.*/train.py\)"):
        training_spec(command=["python", "train.py"], folder=tmp_path)


def test_a_command_that_is_not_executable_says_how_to_make_it_so(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match=r"not executable.*chmod \+x"):
        training_spec(command=["./train.sh"], folder=tmp_path)


def test_a_module_has_no_script(tmp_path: Path) -> None:
    spec = training_spec(command=["python", "-m", "train", "config.py"], folder=tmp_path)
    assert spec.code == ()
    assert spec.command == ("python", "-m", "train", "config.py")


def test_arguments_that_name_code_become_absolute_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("")
    (tmp_path / "project" / "small.yaml").write_text("")
    (tmp_path / "adam").write_text("")
    spec = training_spec(
        command=["python", "project/train.py", "project/small.yaml", "adam"], code=["project"], folder=tmp_path
    )
    root = tmp_path / "project"
    assert spec.command == ("python", str(root / "train.py"), str(root / "small.yaml"), "adam")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({}, "either a command or a function", id="neither-command-nor-function"),
        pytest.param({"command": ["true"], "function": "a:b"}, "either a command or a function", id="both"),
        pytest.param({"function": "train"}, "named module:name", id="function-without-module"),
        pytest.param({"function": "os; x:y"}, "named module:name", id="function-with-code-in-it"),
        pytest.param({"function": lambda data, out: None}, "cannot be found", id="lambda"),
        pytest.param({"function": len}, "cannot be found", id="builtin"),
        pytest.param({"command": ["true"], "code": ["nowhere"]}, "not there", id="missing-code"),
        pytest.param({"command": ["true"], "environment": {"AWS_SECRET_ACCESS_KEY": "x"}}, "no secrets", id="secret"),
        pytest.param({"command": ["true"], "environment": {"HF_TOKEN": "x"}}, "no secrets", id="token"),
        pytest.param({"command": ["true"], "environment": {"A=B": "x"}}, "cannot be set", id="malformed-name"),
        pytest.param({"command": ["true"], "environment": {"INTERLOCK_OUT": "x"}}, "cannot be set", id="our-name"),
        pytest.param({"command": ["tr\0ue"]}, "NUL", id="nul-in-command"),
        pytest.param({"command": ["true"], "seed": -1}, "seed", id="negative-seed"),
        pytest.param({"command": ["true"], "wall_clock": 0}, "positive", id="no-time-at-all"),
        pytest.param({"command": ["true"], "wall_clock": float("nan")}, "positive", id="time-that-is-not-a-number"),
        pytest.param({"command": ["true"], "output_bytes": -1}, "positive", id="negative-bytes"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        training_spec(folder=tmp_path, **given)


def test_a_harmless_variable_that_only_contains_the_word_is_taken() -> None:
    spec = training_spec(command=["true"], environment={"TOKENIZERS_PARALLELISM": "false"})
    assert spec.environment == (("TOKENIZERS_PARALLELISM", "false"),)


def test_a_function_is_found_again_by_its_file() -> None:
    spec = training_spec(function=trainer)
    assert spec.code == (Path(__file__),)
    assert spec.function == "test_spec:trainer"
    assert training_spec(function=Trainers.fit).function == "test_spec:Trainers.fit"


def test_a_function_inside_a_code_folder_is_named_from_that_folder() -> None:
    spec = training_spec(function=trainer, code=[Path(__file__).parents[1]])
    assert spec.function == "training.test_spec:trainer"
    assert spec.code == (Path(__file__).parents[1],)


def test_limits_can_be_given_whole_or_one_by_one() -> None:
    spec = training_spec(command=["true"], limits=Limits(processes=7), wall_clock=5, output_bytes=6)
    assert (spec.limits.processes, spec.limits.wall_seconds, spec.limits.output_bytes) == (7, 5, 6)


def test_a_relative_path_is_no_place_for_code() -> None:
    with pytest.raises(UsageError, match="absolute"):
        TrainingSpec(command=("true",), code=(Path("train.py"),))


def test_held_code_leaves_secrets_and_caches_outside(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("train.py", "lib/model.py", ".env", ".git/config", "lib/__pycache__/model.pyc"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    root = tmp_path / "held"
    root.mkdir()
    held = hold_code([project], root)
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) == [
        "project/lib/model.py",
        "project/train.py",
    ]
    assert held.moved(str(project / "train.py"), Path("/code")) == "/code/project/train.py"
    assert held.moved("train.py", Path("/code")) == "train.py"


def test_the_digest_of_code_names_its_bytes(tmp_path: Path) -> None:
    def digest(text: str, box: str) -> str:
        (tmp_path / "train.py").write_text(text)
        (tmp_path / box).mkdir()
        return hold_code([tmp_path / "train.py"], tmp_path / box).digest

    assert digest("1", "a") == digest("1", "b") != digest("2", "c")


def test_links_and_special_files_are_no_code(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "key.py").symlink_to("/etc/passwd")
    (tmp_path / "held").mkdir()
    with pytest.raises(UnsafeSubjectError, match="link"):
        hold_code([project], tmp_path / "held")
    (project / "key.py").unlink()
    (project / "folder").symlink_to("/etc")
    with pytest.raises(UnsafeSubjectError, match="link"):
        hold_code([project], tmp_path / "held")


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text("")
    with pytest.raises(UsageError, match="different names"):
        hold_code([tmp_path / "a" / "train.py", tmp_path / "b" / "train.py"], tmp_path)


def test_code_that_vanished_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="cannot be read"):
        hold_code([tmp_path / "train.py"], tmp_path)
