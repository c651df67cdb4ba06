"""`interlock artifacts ...`: scan a repository, sign, verify and convert a model, write its bill of materials."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import Finding, Level, Verdict
from interlock.gate.errors import EXIT_DENY, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.artifacts.conversion import Converted
    from interlock.evidence import TrustedKey

NAMED = 10
PROOFS = {
    "torch": "torch read the source and safetensors the result",
    "numpy": "numpy read the source",
    "storages": "a second reading of the source's storages, without torch",
}


@click.group()
def artifacts() -> None:
    """Model files: scans without a receipt, signatures (OpenSSF model signing), bills of materials, safetensors."""


@artifacts.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--scanner-profile", default="torch-state-dict", show_default=True, help="What a pickle may refer to.")
@click.option("--format", "format_", type=click.Choice(("table", "sarif")), default="table", show_default=True)
@click.option("--out", type=OutFile(), help="Write the report to this file.")
@click.option("--look-for", multiple=True, metavar="KIND", help="In texts, too: secrets, personal-data; repeatable.")
@click.option("--strict", is_flag=True, help="Files of no format that is read here leave it undecided, too.")
@click.option("--weights", is_flag=True, help="Read the tensors, too: numbers that are none, hidden bytes.")
def scan(
    *,
    paths: tuple[Path, ...],
    scanner_profile: str,
    format_: str,
    out: Path | None,
    look_for: tuple[str, ...],
    strict: bool,
    weights: bool,
) -> int:
    """Scan the files of a repository, all of them or PATHS; for pre-commit and CI.

    No policy is asked and no receipt written. Exit status: 0 nothing found, 1 a file could run code, is malformed or
    holds a secret that was looked for, 3 a file could not be read to its end.
    """
    from interlock.artifacts import ArtifactGate
    from interlock.artifacts.repository import scan_repository

    gate = ArtifactGate(profile=scanner_profile, look_for=look_for, weights=weights)
    scanned = scan_repository(Path.cwd(), paths or (Path(),), gate)
    seen = scanned.observation
    if format_ == "sarif":
        from interlock.reporting import render_sarif

        lines = json.dumps(render_sarif(scanned.report()), ensure_ascii=False, indent=2).split("\n")
    else:
        lines = [f"{one.level.value}\t{one.rule_id}\t{_place(one)}\t{one.message}" for one in seen.findings]
        lines += [f"undecided\t{gap.path}\t{gap.reason}" for gap in seen.coverage.failed]
    if out is not None:
        from interlock.reporting import write_whole

        write_whole(out, "\n".join([*lines, ""]))
    else:
        for line in lines:
            click.echo("\t".join(map(show.visible, line.split("\t"))))
    skipped, levels = len(seen.coverage.skipped), Counter(finding.level for finding in seen.findings)
    show.progress(
        f"{len(scanned.files)} files: {scanned.errors} errors, {levels[Level.WARNING]} warnings, "
        f"{levels[Level.NOTE]} notes, {len(seen.coverage.failed)} not read to their end, "
        f"{skipped} of no format that is read here"
    )
    if scanned.errors:
        return EXIT_DENY
    return EXIT_UNDECIDED if seen.coverage.failed or (strict and skipped) else 0


@artifacts.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("--signature", type=OutFile(), help="Where to; model.sig in the folder, or beside a file.")
@click.option("--signer", help="A key by URI (file2:, awskms:, ...); the deployment's signer by default.")
@click.option("--ignore", "ignored", multiple=True, metavar="PATH", help="Leave out; relative to MODEL, repeatable.")
def sign(*, model: Path, signature: Path | None, signer: str | None, ignored: tuple[str, ...]) -> int:
    """Sign a model file or folder with an elliptic curve key."""
    from interlock.evidence import load_signer
    from interlock.evidence.model_signing import sign_model
    from interlock.gate import Settings
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
    from interlock.gate import Settings

    place = signature or _beside(model)
    ring = [_given(key) for key in keys] or models_of(KeyRing.load(Settings.load()))
    found = verify_model(str(model), read_signature(place), ring, own=_within(place, model))
    show.say(f"{model} is what {found.signer} signed as {found.name!r}: {found.files} files")
    if found.unsigned:
        some = ", ".join(found.unsigned[:NAMED])
        show.say(f"not signed: {some}{', ...' if len(found.unsigned) > NAMED else ''}")
    return 0


@artifacts.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("--dataset", "datasets", multiple=True, metavar="PATH|URL", help="What it was trained on; repeatable.")
@click.option(
    "--requirements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The libraries that it was trained with: a lock file, of which lines with == count.",
)
@click.option("--spec", default="1.7", show_default=True, help="Version of CycloneDX: 1.6 or 1.7.")
@click.option("--out", type=OutFile(), help="A file, bom.json in the folder for one; standard output.")
def bom(*, model: Path, datasets: tuple[str, ...], requirements: Path | None, spec: str, out: Path | None) -> int:
    """Write a model's bill of materials (CycloneDX ML-BOM)."""
    from interlock.artifacts.bill_of_materials import Ingredients, bill_of_materials, pinned
    from interlock.evidence import take_snapshot
    from interlock.reporting import write_whole

    taken = take_snapshot(str(model))
    made_of = Ingredients(
        datasets=[take_snapshot(one).subject for one in datasets],
        libraries=pinned(requirements) if requirements else None,
    )
    files = {"": taken.digest} if taken.single_file else {entry.path: entry.sha256 for entry in taken.files}
    text = json.dumps(bill_of_materials(model, taken.name, files, made_of, spec=spec), indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return 0
    write_whole(out, text + "\n")
    show.say(f"{out}: CycloneDX {spec}, {taken.name} with {len(files)} files and {len(datasets)} datasets")
    return 0


@artifacts.command()
@click.argument("source")
@click.argument("target", type=OutFile())
@click.option("--scanner-profile", default="torch-state-dict", show_default=True, help="What a pickle may refer to.")
@click.option("--key", help="Convert what stands under this key, for example state_dict; all tensors by default.")
@click.option("--keep-duplicates", is_flag=True, help="Write tied tensors under each of their names.")
@click.option("--without-torch", is_flag=True, help="Prove it by the file's storages, also where torch is installed.")
@click.option("--proof", type=OutFile(), help="Write the proof to this file: an in-toto statement, unsigned.")
def convert(
    *,
    source: str,
    target: Path,
    scanner_profile: str,
    key: str | None,
    keep_duplicates: bool,
    without_torch: bool,
    proof: Path | None,
) -> int:
    """Convert a model file to safetensors, with proof that every tensor is the same, bit by bit.

    SOURCE is scanned, read in the sandbox without any framework, and read again by torch; TARGET is written only when
    all agree. Exit status: 0 converted, 1 the scan speaks against it or a tensor differs, 3 it cannot be converted.
    """
    from interlock.artifacts.conversion import Converter
    from interlock.evidence import Store
    from interlock.gate import Settings

    settings = Settings.load()
    how = Converter(
        opener=Store(settings.store, region=settings.region),
        profile=scanner_profile,
        key=key,
        keep_duplicates=keep_duplicates,
        by_torch=False if without_torch else None,
    )
    with show.working(f"converting {source}"):
        done = how.convert(source, target, proof=proof)
    if done.result is None:
        first, *more = done.reasons
        show.say_verdict(done.verdict, first)
        for reason in more:
            show.say(f"  {reason}")
        show.progress(f"{target} was not written")
        return EXIT_DENY if done.verdict is Verdict.DENY else EXIT_UNDECIDED
    show.table(
        ("dtype", "tensors", "elements"),
        [(dtype, str(count), f"{elements:,}") for dtype, count, elements in done.by_dtype()],
    )
    _say_left_out(done)
    show.say_verdict(done.verdict, f"{target}: {len(done.tensors)} tensors, each bit-equal; {PROOFS[done.proven_by]}")
    return 0


def _say_left_out(done: Converted) -> None:
    for other, name in list(done.aliases.items())[:NAMED]:
        show.say(f"{other} is the same tensor as {name}: written once")
    if len(done.aliases) > NAMED:
        show.say(f"{len(done.aliases) - NAMED} more names are the same tensor as another one")
    if done.left_out_count:
        some = ", ".join(f"{path} ({kind})" for path, kind in done.left_out[:NAMED])
        more = ", ..." if done.left_out_count > NAMED else ""
        show.say(f"left out: {done.left_out_count} values: {some}{more}")


def _place(finding: Finding) -> str:
    where = finding.location
    return where.path if where.offset is None else f"{where.path}, byte {where.offset}"


def _beside(model: Path) -> Path:
    from interlock.gate.protocols import MODEL_SIGNATURE

    return model / MODEL_SIGNATURE if model.is_dir() else model.with_name(f"{model.name}.sig")


def _within(place: Path, model: Path) -> str:
    """Where in the model's folder a file lies; empty when it lies elsewhere."""
    whole, folder = place.resolve(), model.resolve()
    return whole.relative_to(folder).as_posix() if folder in whole.parents else ""


def _given(place: Path) -> TrustedKey:
    from interlock.evidence import TrustedKey
    from interlock.evidence.keys import public_key_of

    return TrustedKey(name=place.stem, key=public_key_of(place.read_bytes(), where=str(place)), models=True)
