"""Makes mutants: number and seed decide which bytes, so that whatever one run found another run finds again."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.artifacts.fuzz import container_mutations as containers
from tests.artifacts.fuzz.byte_mutations import mutate_bytes
from tests.artifacts.fuzz.opcode_mutations import mutate_pickle

from interlock.artifacts.pickles.profiles import PROFILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A file that mutants are made of.

    Args:
        name: Of the case it comes from.
        family: The format that the scan recognises it as.
        profile: Under which it passes; empty for a hostile one.
        data: Its bytes.
    """

    name: str
    family: str
    profile: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A changed file, and the profile under which it is scanned."""

    seed: Seed
    profile: str
    data: bytes


_BY_FAMILY: Mapping[str, Callable[[Random, bytes, containers.Mutate], bytes]] = {
    **dict.fromkeys(("torch-zip", "zip", "keras", "skops", "torchscript", "torch-export", "torch-zip-row"),
                    containers.mutate_zip),
    **dict.fromkeys(("tar", "torch-tar"), containers.mutate_tar),
    **dict.fromkeys(("gzip", "zlib", "bzip2", "xz", "lzma"), containers.mutate_stream),
    "json": containers.mutate_json,
    "safetensors": containers.mutate_safetensors,
}  # fmt: skip
_PICKLES = frozenset({"pickle", "torch-legacy", "unknown", "text"})


class Engine:
    """Makes mutants of these seeds.

    Args:
        seeds: In an order that is the same in every run.
        seed: Decides everything else.
    """

    def __init__(self, seeds: Sequence[Seed], seed: int) -> None:
        self.seeds = seeds
        self.seed = seed
        self._pickles = [made for made in seeds if made.family == "pickle" and len(made.data) < 4096]
        # Small files get further in the same time, and none is left out. The law only speaks of what is allowed, which
        # mutants of harmless files are more often.
        self._weights = [(3.0 if made.profile else 1.0) / (1.0 + len(made.data) / 4096) for made in seeds]

    def mutant(self, number: int) -> Mutant:
        """The mutant of this number."""
        rng = Random(f"{self.seed}-{number}")
        seed = rng.choices(self.seeds, self._weights)[0]
        profile = seed.profile if seed.profile and rng.random() < 0.8 else rng.choice(tuple(PROFILES))
        try:
            data = self._mutated(rng, seed.data, seed.family)
        except (struct.error, UnicodeError, tarfile.TarError):  # names and sizes that no header can say
            data = mutate_bytes(rng, seed.data)
        return Mutant(seed=seed, profile=profile, data=data)

    def _mutated(self, rng: Random, data: bytes, family: str) -> bytes:
        if data.startswith(b"\x93NUMPY"):
            return containers.mutate_numpy(rng, data, self._inside)
        if data.startswith(b"PK\x03\x04"):
            return containers.mutate_zip(rng, data, self._inside)
        if family in _BY_FAMILY:
            return _BY_FAMILY[family](rng, data, self._inside)
        if family in _PICKLES and rng.random() < 0.85:
            return mutate_pickle(rng, data, rng.choice(self._pickles).data)
        return mutate_bytes(rng, data)

    def _inside(self, rng: Random, data: bytes) -> bytes:
        """Changes a member by what it looks like."""
        if data[:1] in (b"{", b"["):
            return containers.mutate_json(rng, data, mutate_bytes)
        if data.startswith((b"\x93NUMPY", b"PK\x03\x04")):
            return self._mutated(rng, data, "unknown")
        looks = data[:1] == b"\x80" or data[-1:] == b"."
        return mutate_pickle(rng, data, rng.choice(self._pickles).data) if looks else mutate_bytes(rng, data)
