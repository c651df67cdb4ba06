"""Runs `git` so that nothing in a repository can run code or name its own verifier.

Everything that git could read its orders from is either ours or shut: no system or user configuration, none from the
environment but what the deployment's own connection puts there for one fetch, no hooks, no attributes, no replaced
objects; and what decides about a signature is named on the command line, which no configuration file overrides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.gate.errors import SettingsError, UnavailableError

PROTOCOLS = "https:ssh:file"
"""``ext::`` and other transports that run a program are not among them."""

_CONFIGURATION = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Whose signatures on commits count; the deployment's own files.

    Args:
        allowed_signers: OpenSSH allowed-signers file; empty when no SSH key counts.
        gpg_home: A GnuPG home whose keyring holds the keys that count, and no other; empty when no OpenPGP key does.
    """

    allowed_signers: str = ""
    gpg_home: str = ""


class Git:
    """One private bare repository.

    Args:
        folder: The repository; made on first use.
        signers: Whose signatures count.

    Raises:
        SettingsError: `git` or a program that verifies is not installed.
    """

    def __init__(self, folder: Path, signers: Signers) -> None:
        self._folder = folder
        self._program = _program("git")
        self._orders = _orders(signers)
        self._gpg_home = signers.gpg_home

    def prepare(self) -> None:
        """Make the repository, and put its configuration back to ours if somebody changed it.

        Raises:
            UnavailableError: It cannot be made.
        """
        if not (self._folder / "HEAD").is_file():
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            self.run("init", "--quiet", "--bare", "--template=", str(self._folder))
        (self._folder / "config").write_text(_CONFIGURATION, encoding="utf-8")

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 60.0) -> bytes:
        """What git prints.

        Raises:
            UnavailableError: It failed, or was too slow; with the end of what it said.
        """
        done = self.try_run(*arguments, environment=environment, timeout=timeout)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise UnavailableError(f"git {arguments[0]} failed: {said}", next_step="see that git can reach and read it")
        return done.stdout

    def try_run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git and leave it to the caller what its exit status means.

        Raises:
            UnavailableError: It was too slow.
        """
        try:
            return subprocess.run(
                self.command(*arguments),
                env=self.environment(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"git {arguments[0]} took longer than {timeout:.0f} s") from error

    def command(self, *arguments: str) -> Sequence[str]:
        """The command line."""
        return [self._program, f"--git-dir={self._folder}", *self._orders, *arguments]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment: of this process, without what git would take orders from.

        Args:
            more: What the deployment's connection adds, for example ``GIT_SSH_COMMAND``.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GNUPG"))}
        ours = {
            "GIT_ALLOW_PROTOCOL": PROTOCOLS,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GNUPGHOME": self._gpg_home or os.devnull,
            "LC_ALL": "C",
        }
        return inherited | dict(more or {}) | ours


def _orders(signers: Signers) -> tuple[str, ...]:
    nobody = _program("false")
    settings = {
        "advice.detachedHead": "false",
        "core.alternateRefsCommand": "",
        "core.attributesFile": os.devnull,
        "core.fsmonitor": "false",
        "core.hooksPath": os.devnull,
        "core.sshCommand": "ssh",
        "fetch.fsckObjects": "true",
        "fetch.recurseSubmodules": "no",
        "gc.auto": "0",
        # GnuPG trusts no key by itself; whoever is in the keyring folder is listed by being there.
        "gpg.minTrustLevel": "undefined" if signers.gpg_home else "fully",
        "gpg.program": _program("gpg") if signers.gpg_home else nobody,
        "gpg.openpgp.program": _program("gpg") if signers.gpg_home else nobody,
        "gpg.ssh.allowedSignersFile": signers.allowed_signers or os.devnull,
        "gpg.ssh.program": _program("ssh-keygen") if signers.allowed_signers else nobody,
        "gpg.ssh.revocationFile": "",
        "gpg.x509.program": nobody,
        "maintenance.auto": "false",
    }
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SettingsError(
            f"`{name}` is not installed, and a verified git bundle needs it",
            next_step=f"install {name} on every machine",
        )
    return found
