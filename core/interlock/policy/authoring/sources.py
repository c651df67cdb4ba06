"""The policies that an author names, joined, with the path of each file as the author would open it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from interlock.gate.errors import PolicyError
from interlock.policy.authoring.workbench import Workbench, parsed_trees
from interlock.policy.bundles.bundle import Bundle, Module, packaged_folder
from interlock.policy.engines.forbidden import check_parsed, suspicious


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What one authoring command works on.

    Args:
        bundle: All policies in one, with their tests apart.
        places: The file of each module path; the path itself where it comes out of an archive.
    """

    bundle: Bundle
    places: Mapping[str, str]

    def place(self, path: str) -> str:
        """How the author calls the file at `path` of the bundle."""
        return self.places.get(path, path)

    @property
    def modules(self) -> tuple[Module, ...]:
        """Rules and tests."""
        return (*self.bundle.modules, *self.bundle.tests)


def load_sources(policies: Sequence[Path]) -> Sources:
    """Read the policies that are named, or the bundle that Interlock ships when none is.

    Args:
        policies: Folders, ``.tar.gz`` bundles and ``.rego`` files. A single file brings the tests beside it.

    Raises:
        SettingsError: One is not there.
        PolicyError: One is no bundle, or two say something of one path.
    """
    if not policies:
        bundle = Bundle.load()
        return Sources(bundle=bundle, places=_places(bundle, packaged_folder()))
    return named_as(policies, reduce(Bundle.joined, [Bundle.load(path) for path in policies]))


def named_as(policies: Sequence[Path], bundle: Bundle) -> Sources:
    """A bundle that was joined from `policies`, with the paths of those that are folders and files."""
    places: dict[str, str] = {}
    for path in policies:
        if path.is_dir() or path.suffix == ".rego":
            places.update(_places(bundle, path if path.is_dir() else path.parent))
    return Sources(bundle=bundle, places=places)


def refuse_banned(workbench: Workbench, sources: Sources, *, tests: bool) -> None:
    """Refuse policies that reach for the network or the environment, before any of their rules is evaluated.

    Args:
        workbench: Parses them.
        sources: What is to be evaluated.
        tests: Whether its tests are, too.

    Raises:
        PolicyError: One does, or cannot be parsed, which hides what it does.
    """
    used = sources.modules if tests else sources.bundle.modules
    modules = [module for module in used if suspicious(module.source)]
    for module, tree in zip(modules, parsed_trees(workbench, modules), strict=True):
        if isinstance(tree, str):
            raise PolicyError(
                f"a rule cannot be parsed: {tree}", where=sources.place(module.path), next_step="interlock policy check"
            )
        check_parsed(tree, where=sources.place(module.path))


def _places(bundle: Bundle, root: Path) -> dict[str, str]:
    shown = root
    if root.is_absolute() and root.is_relative_to(Path.cwd()):
        shown = root.relative_to(Path.cwd())
    paths = [module.path for module in (*bundle.modules, *bundle.tests)]
    return {path: str(shown / path) for path in paths if (root / path).is_file()}
