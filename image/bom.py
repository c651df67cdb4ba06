"""The image's bill of materials: what cyclonedx-py reads in its Python, and what Debian's package database says.

cyclonedx-py decides what a Python environment holds; this adds what it cannot see (Debian's packages, the interpreter,
the policy engine, which is a library and no package), and nothing is written that the strict schema of CycloneDX 1.6
refuses. The document has no time and no random number, so equal images have equal documents. It runs in the build
stage: nothing of it is in the image but what it wrote. Specification: https://cyclonedx.org/docs/1.6/json/, package
URLs of type ``deb``, ``pypi`` and ``generic`` (https://github.com/package-url/purl-spec).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

IMAGE = "interlock-python"


def stanzas(status: str) -> Iterator[dict[str, str]]:
    """The first lines of each field of the installed packages in ``/var/lib/dpkg/status`` (deb-control(5))."""
    for block in status.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if line[:1].strip())
        fields = {name: value.strip() for name, _, value in pairs}
        if fields.get("Status") == "install ok installed":
            yield fields


def release(text: str) -> Mapping[str, str]:
    """The variables of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value.strip('"') for name, _, value in pairs}


def debian(system: Path) -> Iterator[Component]:
    """Debian's packages below the root of a file system."""
    of = release((system / "etc/os-release").read_text("utf-8"))
    distro = f"{of['ID']}-{of['VERSION_ID']}"
    yield Component(type=ComponentType.OPERATING_SYSTEM, name=of["ID"], version=of["VERSION_ID"], bom_ref=distro)
    for one in stanzas((system / "var/lib/dpkg/status").read_text("utf-8")):
        purl = PackageURL(
            type="deb",
            namespace=of["ID"],
            name=one["Package"],
            version=one["Version"],
            qualifiers={"arch": one["Architecture"], "distro": distro},
        )
        yield Component(
            type=ComponentType.LIBRARY,
            name=one["Package"],
            version=one["Version"],
            purl=purl,
            bom_ref=purl.to_string(),
        )


def interpreter(python: Path) -> Component:
    """The Python that runs in the image, whether Debian made it or not."""
    ended = subprocess.run([python, "--version"], check=True, capture_output=True, text=True)
    version = ended.stdout.split()[-1]
    purl = PackageURL(type="generic", name="python", version=version)
    return Component(type=ComponentType.PLATFORM, name="python", version=version, purl=purl, bom_ref=purl.to_string())


def engine(library: Path) -> Component:
    """The policy engine, by the bytes of its library; the folder above is named after the version."""
    with library.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    purl = PackageURL(type="pypi", name="opa-golib-python-bindings", version=library.parent.name)
    return Component(
        type=ComponentType.LIBRARY,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=purl.to_string(),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def environment(python: Path) -> Bom:
    """What cyclonedx-py finds in a Python environment, with licences and who needs whom."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--spec-version", "1.6", "--output-reproducible"]
    ended = subprocess.run([*command, "--validate", python], check=True, stdout=subprocess.PIPE, text=True)
    return Bom.from_json(json.loads(ended.stdout))  # type: ignore[attr-defined,no-any-return] # made by a decorator


def main(arguments: list[str]) -> int:
    """Write the document, or say why it is none."""
    parser = argparse.ArgumentParser(description="Write the bill of materials of the image.")
    parser.add_argument("--environment", type=Path, required=True, help="the virtual environment of the image")
    parser.add_argument("--system", type=Path, required=True, help="root with etc/os-release and var/lib/dpkg/status")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    python = given.environment / "bin/python"
    bom = environment(python)
    known = {component.name: component for component in bom.components}
    whole = Component(type=ComponentType.CONTAINER, name=IMAGE, version=known["interlock"].version, bom_ref=IMAGE)
    (library,) = given.environment.glob("share/interlock/engine/*/libopabridge.so")
    for component in (*debian(given.system), interpreter(python), engine(library)):
        bom.components.add(component)
    bom.metadata.component = whole
    bom.register_dependency(whole, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise SystemExit(f"the bill of materials is not valid CycloneDX 1.6: {wrong}")
    given.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
