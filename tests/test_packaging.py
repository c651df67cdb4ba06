"""What is on disk is what gets packaged, and the rooms keep to their side of the house."""

from __future__ import annotations

import ast
import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("core", "operators", "plugins")


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def packages_on_disk() -> set[str]:
    found = {
        ".".join(init.parent.relative_to(ROOT / source).parts)
        for source in SOURCES
        for init in (ROOT / source).rglob("__init__.py")
    }
    return found | {"interlock.policies"}


def test_every_package_on_disk_is_listed(config: configparser.ConfigParser) -> None:
    listed = set(config["options"]["packages"].split())
    mapped = {line.split("=")[0].strip() for line in config["options"]["package_dir"].strip().splitlines()}
    assert listed == packages_on_disk()
    assert mapped == listed


def test_every_package_is_typed() -> None:
    for source in SOURCES:
        for init in (ROOT / source).rglob("__init__.py"):
            assert (init.parent / "py.typed").exists(), init


def test_the_namespace_itself_is_no_package() -> None:
    assert not [root for root in SOURCES if (ROOT / root / "interlock" / "__init__.py").exists()]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_knows_no_orchestrator(path: Path) -> None:
    forbidden = ("airflow", "kfp", "interlock.airflow", "interlock.kubeflow", "interlock.airflow_plugin")
    allowed_here = {"interlock.airflow.demo"} if path.parent.name == "cli" else set()
    met = {n for n in imports_of(path) if n.split(".")[0] in ("airflow", "kfp") or n.startswith(forbidden[2:])}
    assert met <= allowed_here


ROOMS_OF_GATE = {"gate": {"gate"}, "evidence": {"evidence", "gate"}, "policy": {"policy", "gate", "policies"}}


@pytest.mark.parametrize("room", sorted(ROOMS_OF_GATE))
def test_the_lower_rooms_know_no_higher_one(room: str) -> None:
    for path in (ROOT / "core" / "interlock" / room).rglob("*.py"):
        rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("interlock.")}
        assert rooms <= ROOMS_OF_GATE[room], path


HEAVY = ("torch", "pandas", "numpy", "great_expectations", "kfp", "ray", "pyarrow", "sklearn", "sqlalchemy")


def modules_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_cli_and_the_core_brings_in_nothing_heavy() -> None:
    rooms = sorted(p.name for p in (ROOT / "core" / "interlock").iterdir() if (p / "__init__.py").exists())
    met = modules_after("; ".join(f"import interlock.{room}" for room in rooms if room not in ("evidence",)))
    assert met.isdisjoint(HEAVY)


@pytest.mark.slow
def test_importing_the_operators_brings_in_nothing_heavier_than_airflow_itself() -> None:
    pytest.importorskip("airflow.sdk")
    bare = modules_after("import airflow.sdk")
    ours = modules_after("import airflow.sdk, interlock.airflow")
    assert (ours - bare).isdisjoint(HEAVY)


def test_the_lock_lacks_what_builds_a_grammar_whenever_jsonschema_is_imported() -> None:
    assert "\nrfc3987-syntax==" not in (ROOT / "requirements/lock.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in kept.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_package_and_what_it_reads_but_no_rego_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in packages_on_disk():
        assert f"{package.replace('.', '/')}/__init__.py" in names
        assert f"{package.replace('.', '/')}/py.typed" in names
    rules = ("policies/.manifest", "policies/schemas/receipt.json", "policies/interlock/decision/decision.rego")
    data = (*rules, "reporting/page.html.jinja", "kubeflow/components/verify.yaml")
    assert {f"interlock/{name}" for name in data} <= names
    assert "interlock/policy/engines/engine_requirements.txt" in names
    assert not [name for name in names if name.endswith("_test.rego")]


@pytest.mark.slow
def test_the_wheel_alone_gives_the_core_and_the_command_line(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = [str(tmp_path / "venv/bin/python"), "-m", "pip", "install", "--quiet"]
    pinned = tmp_path / "constraints.txt"
    lock = (ROOT / "requirements/lock.txt").read_text(encoding="utf-8")
    pinned.write_text("\n".join(line.removesuffix(" \\") for line in lock.splitlines() if "==" in line[:80]))
    subprocess.run([*pip, "--constraint", str(pinned), str(wheel)], check=True)

    def interlock(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "INTERLOCK_PROFILE": "dev"}
        command = [str(tmp_path / "venv/bin/interlock"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    (tmp_path / "data.csv").write_text("a,label\n1,0\n")
    (tmp_path / "suite.json").write_text('{"name": "s", "expectations": []}')
    assert interlock("--help").returncode == 0
    assert interlock("ledger", "verify").returncode == 0
    taken = interlock("snapshot", str(tmp_path / "data.csv"))
    assert "sha256:" in taken.stdout
    for extra, gate, option in (("gx", "data-validation", "--suite"), ("torch", "data-poisoning", "--label")):
        value = str(tmp_path / "suite.json") if option == "--suite" else "label"
        refused = interlock("gate", gate, str(tmp_path / "data.csv"), option, value)
        assert refused.returncode == 2
        assert f"interlock[{extra}]" in refused.stderr or "install-engine" in refused.stderr
    refused = interlock("demo")
    assert refused.returncode == 2
    assert "interlock[airflow]" in refused.stderr
