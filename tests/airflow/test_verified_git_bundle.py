"""A git repository of which Airflow gets to import what a listed key signed and lint passed, whatever else is in it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.airflow.attesting import Deployment, Repository, allow, ssh_key

from interlock.airflow_plugin.bundles import VerifiedGitDagBundle, pausing
from interlock.gate.errors import DeniedError, SettingsError, UnavailableError, UsageError

CODE = "print('hello')\n"
DATA = "select 1;\n"


@pytest.fixture
def attesting(airflow_database: None, deployment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    made = Deployment(deployment)
    made.attest(CODE)
    return made


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is denied Airflow's database, as a task's is."""
    from airflow import settings

    monkeypatch.delattr(settings, "engine")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return ssh_key(tmp_path / "ssh", "ada")


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Path:
    return allow(tmp_path / "allowed_signers", key)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def good(attesting: Deployment, repository: Repository, signers: Path, key: Path) -> VerifiedGitDagBundle:
    """A bundle that has a signed commit."""
    repository.commit({"good.py": CODE}, key=key)
    return bundle(repository, signers)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Is there when a program ran that must not."""
    return tmp_path / "mark"


def bundle(repository: Repository, signers: Path, **more: str) -> VerifiedGitDagBundle:
    where = {"repo_url": str(repository.folder), "tracking_ref": "main", "allowed_signers": str(signers)}
    made = VerifiedGitDagBundle(name="team", **(where | more))
    made.initialize()
    return made


def seen(made: VerifiedGitDagBundle) -> dict[str, bytes]:
    files = (path for path in made.path.rglob("*") if path.is_file())
    return {path.relative_to(made.path).as_posix(): path.read_bytes() for path in files}


def version(made: VerifiedGitDagBundle) -> str:
    current = made.get_current_version()
    return current if isinstance(current, str) else current.version


def test_files_of_a_signed_commit_are_seen_code_with_a_receipt_and_data(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    commit = repository.commit({"good.py": CODE, "q.sql": DATA}, key=key)
    made = bundle(repository, signers)
    assert seen(made) == {"good.py": CODE.encode(), "q.sql": DATA.encode()}
    assert version(made) == commit


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("signer", ["nobody", "a-key-that-is-not-listed"])
def test_a_commit_without_a_listed_signature_fails_the_task_and_nothing_is_there(
    attesting: Deployment, repository: Repository, signers: Path, tmp_path: Path, signer: str
) -> None:
    repository.commit({"good.py": CODE}, key=None if signer == "nobody" else ssh_key(tmp_path / "ssh", "eve"))
    made = VerifiedGitDagBundle(
        name="team", repo_url=str(repository.folder), tracking_ref="main", allowed_signers=str(signers)
    )
    with pytest.raises(DeniedError, match="is not signed by a listed key") as caught:
        made.initialize()
    assert "Next: sign the commit" in str(caught.value)
    assert seen(made) == {}
    assert [json.loads(event.event)["kind"] for event in attesting.ledger.events()] == ["bundle-refused"]


def test_in_the_dag_processor_an_unsigned_commit_empties_the_bundle(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    signed = repository.commit({"good.py": CODE}, key=key)
    made = bundle(repository, signers)
    unsigned = repository.commit({"more.py": CODE}, key=None)
    made.refresh()
    assert seen(made) == {}
    assert version(made).startswith(f"{unsigned}-")
    repository.git("reset", "--quiet", "--hard", signed)
    made.refresh()
    assert set(seen(made)) == {"good.py"}


def test_a_key_that_is_no_longer_listed_speaks_for_nothing(
    attesting: Deployment, repository: Repository, signers: Path, key: Path, tmp_path: Path
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    made = bundle(repository, signers)
    assert seen(made)
    allow(signers, ssh_key(tmp_path / "ssh", "grace"))
    made.refresh()
    assert seen(made) == {}


def test_signed_code_without_a_receipt_is_refused_until_lint_has_passed_it(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    commit = repository.commit({"good.py": CODE, "new.py": CODE * 2}, key=key)
    made = bundle(repository, signers)
    assert set(seen(made)) == {"good.py"}
    before = version(made)
    attesting.attest(CODE * 2)
    made.refresh()
    assert set(seen(made)) == {"good.py", "new.py"}
    assert before != version(made) == commit  # Airflow looks for new files only when the version changes


def test_what_lies_in_the_work_tree_unsigned_is_not_seen(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    (repository.folder / "good.py").write_text("raise SystemExit")
    (repository.folder / "more.py").write_text(CODE)
    assert seen(bundle(repository, signers)) == {"good.py": CODE.encode()}


def test_a_signature_does_not_move_to_another_commit(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    signed = repository.git("cat-file", "commit", "HEAD")
    repository.commit({"good.py": CODE, "q.sql": "drop"}, key=None)
    forged = signed.replace(signed.splitlines()[0], f"tree {repository.git('rev-parse', 'HEAD^{tree}')}") + "\n"
    (repository.folder / "forged").write_text(forged)
    commit = repository.git("hash-object", "-t", "commit", "-w", "forged")
    repository.git("update-ref", "refs/heads/main", commit)
    assert seen(bundle(repository, signers)) == {}


def test_replaced_objects_replace_nothing(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    good = repository.commit({"good.py": CODE}, key=key)
    bad = repository.commit({"good.py": CODE, "q.sql": "drop"}, key=None)
    repository.git("reset", "--quiet", "--hard", good)
    repository.git("replace", good, bad)
    assert seen(bundle(repository, signers)) == {"good.py": CODE.encode()}


def _program(place: Path, mark: Path) -> str:
    """A program that leaves a mark and says what a verifier would say of a good signature."""
    place.write_text(f"#!/bin/sh\ntouch {mark}\necho 'Good \"git\" signature for ada with ED25519 key'\nexit 0\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return str(place)


def _hostile(program: str) -> Mapping[str, str]:
    return {
        "core.alternateRefsCommand": program,
        "core.fsmonitor": program,
        "core.sshCommand": program,
        "gpg.program": program,
        "gpg.ssh.program": program,
        "gpg.openpgp.program": program,
        "gpg.ssh.allowedSignersFile": "/dev/null",
        "gpg.minTrustLevel": "never",
        "filter.evil.smudge": program,
        "uploadpack.packObjectsHook": program,
        "include.path": "/nowhere",
    }


@pytest.mark.parametrize("where", ["source", "mirror", "environment", "home"])
def test_a_configuration_that_names_its_own_programs_is_not_heeded(
    repository: Repository, good: VerifiedGitDagBundle, mark: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _program(mark.with_name("program"), mark)
    eve = ssh_key(mark.with_name("ssh"), "eve")  # a signature, so that a verifier is asked for
    repository.commit({".gitattributes": "* filter=evil\n", "evil.py": CODE}, key=eve)
    if where == "environment":
        for number, (name, value) in enumerate(_hostile(program).items()):
            monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
            monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
        monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(_hostile(program))))
        monkeypatch.setenv("GIT_SSH_COMMAND", program)
    else:
        places = {
            "source": repository.folder / ".git" / "config",
            "mirror": good.base_dir / "mirror.git" / "config",
            "home": Path(os.environ["HOME"]) / ".gitconfig",
        }
        for name, value in _hostile(program).items():
            subprocess.run(["git", "config", "--file", str(places[where]), name, value], check=True)
    good.refresh()
    assert seen(good) == {}
    assert not mark.exists()


@pytest.mark.parametrize("where", ["source", "mirror"])
def test_hooks_do_not_run(repository: Repository, good: VerifiedGitDagBundle, mark: Path, where: str) -> None:
    hooks = (repository.folder / ".git" if where == "source" else good.base_dir / "mirror.git") / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-merge", "fsmonitor-watchman"):
        _program(hooks / name, mark)
    repository.git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "-m", "x")
    good.refresh()
    assert not mark.exists()


def test_attributes_change_no_byte(attesting: Deployment, repository: Repository, signers: Path, key: Path) -> None:
    attributes = "*.sql text eol=crlf ident working-tree-encoding=UTF-16\n*.py export-ignore filter=evil\n"
    repository.commit({"q.sql": "$Id$\n", "good.py": CODE}, key=key)
    (repository.folder / ".gitattributes").write_text(attributes)
    repository.git("add", ".gitattributes")
    repository.sign_off(key)
    files = seen(bundle(repository, signers))
    assert files == {".gitattributes": attributes.encode(), "q.sql": b"$Id$\n", "good.py": CODE.encode()}


def test_links_and_submodules_are_refused_and_the_rest_is_seen(
    attesting: Deployment, repository: Repository, signers: Path, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit = repository.commit(
        {"good.py": CODE, ".gitmodules": '[submodule "m"]\npath = m\nurl = ext::sh -c id\n'}, key=key
    )
    (repository.folder / "link.py").symlink_to("/etc/passwd")
    (repository.folder / "folder").symlink_to("/etc")
    repository.git("add", "--all")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},m")
    repository.sign_off(key)
    assert set(seen(bundle(repository, signers))) == {"good.py", ".gitmodules"}
    assert "m is refused: a submodule" in caplog.text
    assert "link.py is refused: a symlink" in caplog.text


@pytest.mark.parametrize("path", ["../evil.py", "a/../../evil.py", ".."])
def test_a_path_that_leaves_the_root_is_never_written(
    attesting: Deployment, repository: Repository, signers: Path, key: Path, path: str
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    blob = repository.git("rev-parse", "HEAD:good.py")
    (repository.folder / ".git" / "tree").write_bytes(b"100644 " + path.encode() + b"\0" + bytes.fromhex(blob))
    tree = repository.git("hash-object", "-t", "tree", "-w", "--literally", str(repository.folder / ".git" / "tree"))
    how = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit-tree", "-S", "-m", "x", tree)
    repository.git("update-ref", "refs/heads/main", repository.git(*how))
    with pytest.raises(UnavailableError, match="cannot be fetched"):  # git itself refuses such a tree on arrival
        bundle(repository, signers)
    assert not list((attesting.home.parent / "bundles").rglob("evil.py"))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch MARK'", "--upload-pack=touch MARK", "http://127.0.0.1:1/x"])
def test_a_url_that_would_run_a_program_or_speak_in_the_clear_is_refused(
    attesting: Deployment, repository: Repository, signers: Path, tmp_path: Path, url: str
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        bundle(repository, signers, repo_url=url.replace("MARK", str(mark)))
    assert not mark.exists()


def test_a_run_keeps_its_commit_while_that_is_part_of_the_branch(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    first = repository.commit({"good.py": CODE}, key=key)
    repository.commit({"good.py": CODE, "q.sql": DATA}, key=key)
    assert set(seen(bundle(repository, signers, version=first))) == {"good.py"}
    assert set(seen(bundle(repository, signers, version=f"{first}-{'0' * 16}"))) == {"good.py"}


@pytest.mark.usefixtures("worker")
def test_a_signed_commit_of_another_branch_is_not_run(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    repository.git("checkout", "--quiet", "-b", "unreviewed")
    other = repository.commit({"q.sql": DATA}, key=key)
    with pytest.raises(DeniedError, match="is not part of main"):
        bundle(repository, signers, version=other)


def test_a_version_that_is_none_never_becomes_a_path(
    attesting: Deployment, repository: Repository, signers: Path
) -> None:
    with pytest.raises(UsageError, match="no version of this bundle"):
        bundle(repository, signers, version="../../etc")


def test_a_tag_and_a_folder_of_the_repository_can_be_the_bundle(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    repository.commit({"dags/good.py": CODE, "other.py": CODE}, key=key)
    repository.git("tag", "-a", "-m", "release", "v1")
    assert set(seen(bundle(repository, signers, tracking_ref="v1", subdir="dags"))) == {"good.py"}


@pytest.mark.parametrize(
    ("signers", "problem"),
    [
        ("", "no signer of commits is listed"),
        ("relative", "absolute path"),
        ("/nowhere/signers", "cannot be read"),
        ("/tmp", "are a file"),
    ],
)
def test_signers_that_cannot_be_trusted_are_refused(
    attesting: Deployment, repository: Repository, key: Path, signers: str, problem: str
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    with pytest.raises(SettingsError, match=problem):
        bundle(repository, Path(signers) if signers else Path(), allowed_signers=signers)


def test_signers_that_everybody_may_add_to_are_refused(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    repository.commit({"good.py": CODE}, key=key)
    signers.chmod(0o666)
    with pytest.raises(SettingsError, match="everybody may add"):
        bundle(repository, signers)


def test_an_openpgp_key_counts_when_it_is_in_the_keyring_folder(
    attesting: Deployment, repository: Repository, key: Path, signers: Path, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for home in (theirs, ours):
        home.mkdir(mode=0o700)
    who = {"GNUPGHOME": str(theirs)}
    gpg = ["gpg", "--batch", "--quiet", "--homedir"]
    subprocess.run(
        [*gpg, str(theirs), "--passphrase", "", "--quick-generate-key", "ada <a@example.org>", "ed25519", "sign"],
        check=True,
        capture_output=True,
    )
    try:
        repository.commit({"good.py": CODE}, key=None)
        repository.git("commit", "--quiet", "-Sa@example.org", "--amend", "--no-edit", environment=who)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(theirs), "--kill", "gpg-agent"], check=True)
    assert seen(bundle(repository, signers)) == {}
    assert seen(bundle(repository, signers, gpg_home=str(ours))) == {}
    public = subprocess.run([*gpg, str(theirs), "--export"], check=True, capture_output=True).stdout
    subprocess.run([*gpg, str(ours), "--import"], input=public, check=True, capture_output=True)
    assert set(seen(bundle(repository, signers, gpg_home=str(ours), allowed_signers=""))) == {"good.py"}


def test_credentials_need_the_git_provider_and_say_so(
    attesting: Deployment, repository: Repository, signers: Path, key: Path
) -> None:
    from importlib.util import find_spec

    if find_spec("airflow.providers.git") is not None:
        pytest.skip("apache-airflow-providers-git is installed")
    with pytest.raises(SettingsError, match="git provider, which is not installed"):
        bundle(repository, signers, git_conn_id="team_git")


def test_credentials_come_from_the_git_providers_connection(
    attesting: Deployment, repository: Repository, signers: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow.providers.git", reason="apache-airflow-providers-git is not in the lock")
    repository.commit({"good.py": CODE}, key=key)
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_GIT", f'{{"conn_type": "git", "host": "{repository.folder}"}}')
    assert set(seen(bundle(repository, signers, git_conn_id="team_git", repo_url=""))) == {"good.py"}


@pytest.mark.usefixtures("worker")
def test_a_worker_is_known_by_the_database_that_it_is_denied() -> None:
    assert not pausing.database_allowed()
