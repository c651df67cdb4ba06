"""A bundle as the ``bundle.tar.gz`` that a stock ``opa run -b`` serves: the same bytes for the same policy.

What comes out is flat: base and layers are one set of rules and one data document, so nothing is left to decide for
whoever loads it, and its digest is the one that the embedded engine has for the same base and layers. The manifest's
revision names that digest; an OPA server tells its revision with each answer.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable

from interlock.gate.documents import canonical_json
from interlock.policy.bundles.bundle import Bundle, revision_with
from interlock.policy.bundles.files import MANIFEST, BundleFile
from interlock.policy.bundles.keys import BundleKey


def packed(
    bundle: Bundle,
    *,
    revision: str = "",
    with_tests: bool = False,
    key: BundleKey | None = None,
    expires: int | None = None,
) -> bytes:
    """The bytes of the archive.

    Args:
        bundle: What to pack.
        revision: Text in front of the digest; that of the bundle when not given.
        with_tests: Pack the tests too. OPA takes them for rules and the digest does not cover them, so the revision
            names none then, and no decision of a server that runs it is taken.
        key: Private; with it the archive is signed. With an RSA key and PKCS #1 v1.5 the same bytes come out each time.
        expires: Seconds since the epoch after which the signature does not count.
    """
    text = revision or bundle.revision
    files = _files(bundle, text if with_tests else revision_with(text, bundle.digest))
    if with_tests:
        files += [BundleFile(path=module.path, content=module.source.encode()) for module in bundle.tests]
    if key is not None:
        from interlock.policy.bundles.signatures import signed

        files.append(signed(files, key, expires=expires))
    return _tar_gz(sorted(files, key=lambda file: file.path))


def _files(bundle: Bundle, revision: str) -> list[BundleFile]:
    rules = [BundleFile(path=module.path, content=module.source.encode()) for module in bundle.modules]
    manifest = canonical_json({**bundle.manifest, "revision": revision})
    data = [BundleFile(path="data.json", content=canonical_json(dict(bundle.data)))] if bundle.data else []
    return [*rules, *data, BundleFile(path=MANIFEST, content=manifest)]


def _tar_gz(files: Iterable[BundleFile]) -> bytes:
    """Sorted names, no times, no owners: nothing of the machine that packs."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for file in files:
            member = tarfile.TarInfo(file.path)
            member.size, member.mode = len(file.content), 0o644
            tar.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()
