"""`interlock artifacts ...`: sign a model, and verify who signed one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import Settings

if TYPE_CHECKING:
    from interlock.evidence import TrustedKey

NAMED = 10


@click.group()
def artifacts() -> None:
    """Model files: signatures in the format of OpenSSF model signing."""


@artifacts.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--signature", type=click.Path(path_type=Path), help="Where to; model.sig in the folder, or beside a file."
)
@click.option("--signer", help="A key by URI (file2:, awskms:, ...); the deployment's signer by default.")
@click.option("--ignore", "ignored", multiple=True, metavar="PATH", help="Leave out; relative to MODEL, repeatable.")
def sign(*, model: Path, signature: Path | None, signer: str | None, ignored: tuple[str, ...]) -> int:
    """Sign a model file or folder with an elliptic curve key."""
    from interlock.evidence import load_signer
    from interlock.evidence.model_signing import sign_model
    from interlock.reporting import write_whole

    settings = Settings.load()
    key = load_signer(replace(settings, signer=signer) if signer else settings)
    place = signature or _beside(model)
    write_whole(place, sign_model(str(model), key, ignored=ignored, own=_within(place, model)))
    show.say(f"{model} is signed by {key.keyid[:16]}: {place}")
    return 0


@artifacts.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--signature", type=click.Path(path_type=Path), help="model.sig in the folder, or beside a file, by default."
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A public key (PEM) to trust for this, repeatable; the keys that are trusted for models by default.",
)
def verify(*, model: Path, signature: Path | None, keys: tuple[Path, ...]) -> int:
    """Check a model against its signature, without a network."""
    from interlock.evidence import KeyRing
    from interlock.evidence.model_signing import models_of, read_signature, verify_model

    place = signature or _beside(model)
    ring = [_given(key) for key in keys] or models_of(KeyRing.load(Settings.load()))
    found = verify_model(str(model), read_signature(place), ring, own=_within(place, model))
    show.say(f"{model} is what {found.signer} signed as {found.name!r}: {found.files} files")
    if found.unsigned:
        some = ", ".join(found.unsigned[:NAMED])
        show.say(f"not signed: {some}{', ...' if len(found.unsigned) > NAMED else ''}")
    return 0


def _beside(model: Path) -> Path:
    from interlock.evidence.model_signing import SIGNATURE

    return model / SIGNATURE if model.is_dir() else model.with_name(f"{model.name}.sig")


def _within(place: Path, model: Path) -> str:
    """Where in the model's folder a file lies; empty when it lies elsewhere."""
    whole, folder = place.resolve(), model.resolve()
    return whole.relative_to(folder).as_posix() if folder in whole.parents else ""


def _given(place: Path) -> TrustedKey:
    from interlock.evidence import TrustedKey
    from interlock.evidence.keys import public_key_of

    return TrustedKey(name=place.stem, key=public_key_of(place.read_bytes(), where=str(place)), models=True)
