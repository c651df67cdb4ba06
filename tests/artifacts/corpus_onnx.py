"""Hostile ONNX models, written field by field after ``onnx/onnx-ml.proto``; payloads are inert."""

from __future__ import annotations

import base64
import json
import struct

from tests.artifacts.corpus import CALL, Hostile, called, one, raw_zip, torch_entries
from tests.artifacts.wire import Value, field, message, varint

CUSTOM, EXTERNAL, MALFORMED, HIDDEN = "custom-operator", "external-data", "malformed-graph", "hidden-code"


def node(operator: str, domain: str = "", *attributes: bytes) -> bytes:
    """A node with one input and one output."""
    body = message((1, "x"), (2, "y"), (4, operator), *((5, attribute) for attribute in attributes))
    return body + (field(7, domain) if domain else b"")


def attribute(number: int, value: bytes) -> bytes:
    """An attribute: 5 is a tensor, 6 a graph."""
    return message((1, "body"), (number, value), (20, {5: 4, 6: 5, 10: 9, 11: 10, 22: 11}[number]))


def tensor(*more: tuple[int, Value], dims: tuple[int, ...] = (2,), name: str = "w") -> bytes:
    """A float tensor."""
    return message(*((1, size) for size in dims), (2, 1), (8, name), *more)


def entries(**said: str) -> tuple[tuple[int, Value], ...]:
    """External data with these keys."""
    return (*((13, message((1, key), (2, value))) for key, value in said.items()), (14, 1))


def graph(*parts: bytes, initializer: tuple[bytes, ...] = ()) -> bytes:
    """A graph of nodes and tensors."""
    nodes = parts or (node("Relu"),)
    return message(*((1, part) for part in nodes), (2, "g"), *((5, part) for part in initializer))


def model(
    body: bytes | None = None, *more: tuple[int, Value], domains: tuple[str, ...] = ("",), version: int = 10
) -> bytes:
    """A model around a graph."""
    imports = tuple((8, message((1, domain), (2, 17))) for domain in domains)
    return message((1, version), (2, "pytorch"), (7, graph() if body is None else body), *imports, *more)


def with_tensor(value: bytes) -> bytes:
    """A model with one initializer."""
    return model(graph(initializer=(value,)))


def outside(location: str) -> bytes:
    """A model whose tensor is in another file."""
    return with_tensor(tensor(*entries(location=location, offset="0", length="8")))


def text_model() -> bytes:
    """A model of nothing but printable characters and newlines: text, and ``onnx.load`` takes it."""
    evil = field(4, "Evil" + "l" * 36) + field(7, "my.domain" + "." * 27)
    return field(7, field(1, evil)) + field(6, "This is a model card, in forty letters..")


def operators() -> list[Hostile]:
    """Operators that need code of somebody's own, wherever a graph can stand."""
    evil = node("Run", "my.ops")
    inner = graph(evil)
    function = message((1, "F"), (7, evil), (10, "local"), (9, message((1, "local"), (2, 1))))
    body = field(7, graph())
    return [
        one("onnx-custom-domain", model(graph(evil)), CUSTOM),
        one("onnx-custom-domain-in-if", model(graph(node("If", "", attribute(6, inner)))), CUSTOM),
        one("onnx-custom-domain-in-attribute-graphs", model(graph(node("If", "", attribute(11, inner)))), CUSTOM),
        one("onnx-custom-domain-in-nested-loops",
            model(graph(node("Loop", "", attribute(6, graph(node("Loop", "", attribute(6, inner))))))), CUSTOM),
        one("onnx-custom-domain-in-function", model(graph(node("F", "local")), (25, function)), CUSTOM),
        one("onnx-custom-domain-in-training", model(None, (20, message((2, inner)))), CUSTOM),
        one("onnx-custom-domain-in-initialization", model(None, (20, message((1, inner)))), CUSTOM),
        one("onnx-custom-domain-imported", model(domains=("", "my.ops")), CUSTOM),
        one("onnx-function-of-another-name", model(graph(node("G", "local")), (25, function)), CUSTOM),
        one("onnx-python-operator", model(graph(node("PyOp", "ai.onnx.contrib"))), CUSTOM),
        one("onnx-python-operator-standard-domain", model(graph(node("PyOp"))), CUSTOM),
        one("onnx-aten-operator", model(graph(node("ATen", "org.pytorch.aten"))), CUSTOM),
        one("onnx-extensions-domain", model(graph(node("StringUpper", "ai.onnx.contrib"))), CUSTOM),
        one("onnx-compiled-context", model(graph(node("EPContext", "com.microsoft"))), CUSTOM),
        one("onnx-unknown-contrib-operator", model(graph(node("LoadPlugin", "com.microsoft"))), CUSTOM),
        one("onnx-domain-with-a-space", model(graph(node("Gelu", "com.microsoft "))), CUSTOM),
        one("onnx-domain-with-a-nul", model(graph(node("Scaler", "ai.onnx.ml\0x"))), CUSTOM),
        one("onnx-domain-with-a-homoglyph", model(graph(node("Scaler", "ai.\u043ennx.ml"))), CUSTOM),
        one("onnx-domain-no-utf-8", model(graph(node("Scaler") + field(7, b"\xff\xfe"))), CUSTOM),
        one("onnx-unknown-standard-operator", model(graph(node("SystemCall")))),
        one("onnx-two-graphs", model() + field(7, inner), MALFORMED),
        one("onnx-two-graphs-hostile-first", field(7, inner) + model(), MALFORMED),
        one("onnx-domain-twice", model(graph(node("Relu", "my.ops") + field(7, ""))), MALFORMED),
        one("onnx-field-in-a-group", model() + varint(99 << 3 | 3) + b"\x08\x01" + varint(99 << 3 | 4), MALFORMED),
        one("onnx-number-longer-than-needed", varint(8, width=3) + b"\x0a" + body + field(8, b""), MALFORMED),
        one("onnx-length-longer-than-needed", model() + varint(6 << 3 | 2) + varint(1, width=4) + b"x", MALFORMED),
        one("onnx-wrong-wire-type", model() + field(8, 1), MALFORMED),
        one("onnx-unknown-field", model() + field(99, b"hidden")),
        one("onnx-of-printable-text", text_model(), CUSTOM),
        Hostile(name="onnx-as-readme", files={"README.md": text_model()}, rule=f"artifact-scan.{CUSTOM}"),
        one("onnx-and-zip", model() + field(6, raw_zip(torch_entries())), "polyglot"),
        one("onnx-cut-off", model()[:-3]),
        one("onnx-newer-version", model(version=99)),
        one("onnx-without-version", body + field(8, b""), MALFORMED),
        one("onnx-without-opset", field(1, 10) + body, MALFORMED),
        one("onnx-deep-subgraphs", _deep(200)),
    ]  # fmt: skip


def _deep(levels: int) -> bytes:
    body = graph(node("Run", "my.ops"))
    for _ in range(levels):
        body = graph(node("If", "", attribute(6, body)))
    return model(body)


def tensors() -> list[Hostile]:
    """Tensors that take their bytes from elsewhere, or that lie about them."""
    raw = struct.pack("<2f", 1, 2)
    locations = {
        "cve-2022-25882-parent-folder": "../../../etc/passwd", "cve-2024-27318-parent-inside": "data/../../secret",
        "cve-2024-5187-absolute": "/etc/passwd", "cve-2025-51480-parent-backslash": "..\\..\\secret",
        "windows-drive": "C:\\secret", "url": "file:///etc/passwd", "remote-url": "https://example.org/w",
        "empty": "", "home": "~/secret", "only-parent": "..", "double-slash": "data//secret", "nul": "w\0.bin",
        "ort-memory-address": "*/_ORT_MEM_ADDR_/*", "device": "/dev/zero",
    }  # fmt: skip
    cases = [one(f"onnx-external-{name}", outside(location), EXTERNAL) for name, location in locations.items()]
    away = tensor(*entries(location="../secret"))
    constant = node("Constant", "", attribute(5, away))
    sparse = message((1, away), (2, tensor((9, raw))), (3, 4))
    cases += [
        one("onnx-external-in-constant", model(graph(constant)), EXTERNAL),
        one("onnx-external-in-subgraph", model(graph(node("If", "", attribute(6, graph(constant))))), EXTERNAL),
        one("onnx-external-in-sparse-initializer", model(graph() + field(15, sparse)), EXTERNAL),
        one("onnx-external-in-sparse-attribute", model(graph(node("Constant", "", attribute(22, sparse)))), EXTERNAL),
        one("onnx-external-in-list", model(graph(node("Constant", "", attribute(10, away)))), EXTERNAL),
        one("onnx-external-without-saying-so", with_tensor(tensor(*entries(location="../x")[:-1])), EXTERNAL),
        one("onnx-external-not-there", outside("weights.bin")),
        one("ghsa-538c-55jv-c5g9-unknown-key",
            with_tensor(tensor(*entries(location="w.bin", __class__="x"))), EXTERNAL),
        one("ghsa-538c-55jv-c5g9-negative-length",
            with_tensor(tensor(*entries(location="w.bin", length="-1"))), EXTERNAL),
        one("onnx-external-odd-offset", with_tensor(tensor(*entries(location="w.bin", offset="1_0"))), EXTERNAL),
        one("onnx-external-base-path",
            with_tensor(tensor(*entries(location="w.bin", basepath="/etc"))), EXTERNAL),
        one("onnx-external-location-twice",
            with_tensor(tensor(*entries(location="w.bin")[:1], *entries(location="../x"))), EXTERNAL),
        one("onnx-external-other-length",
            with_tensor(tensor(*entries(location="w.bin", length="4000000000"))), EXTERNAL),
        Hostile(name="onnx-external-past-the-end", rule=f"artifact-scan.{EXTERNAL}",
                files={"m.onnx": outside("w.bin"), "w.bin": b"\xff\xfe\x00"}),
        Hostile(name="onnx-external-is-a-pickle", rule="artifact-scan.unsafe-global",
                files={"m.onnx": outside("w.bin"), "w.bin": called("os", "system")}),
        Hostile(name="onnx-external-is-a-program", rule="artifact-scan.executable-format",
                files={"m.onnx": outside("w.bin"), "w.bin": b"\x7fELF" + bytes(60)}),
        Hostile(name="onnx-external-beside-the-folder", rule=f"artifact-scan.{EXTERNAL}",
                files={"a/m.onnx": outside("../w.bin"), "w.bin": b"\xff\xfe\x00" * 9}),
        one("onnx-raw-data-short", with_tensor(tensor((9, raw[:7]))), MALFORMED),
        one("onnx-raw-data-long", with_tensor(tensor((9, raw + b"x"))), MALFORMED),
        one("onnx-shape-overflow", with_tensor(tensor((9, raw), dims=(1 << 62, 1 << 62))), MALFORMED),
        one("onnx-shape-negative", with_tensor(tensor((9, raw), dims=(-2,))), MALFORMED),
        one("onnx-raw-data-twice", with_tensor(tensor((9, raw), (9, raw))), MALFORMED),
        one("onnx-unknown-type", with_tensor(message((1, 2), (2, 77), (8, "w"), (9, raw)))),
        one("onnx-tensor-twice", model(graph(initializer=(tensor((9, raw)), tensor((9, raw))))), MALFORMED),
    ]  # fmt: skip
    return cases


def metadata() -> list[Hostile]:
    """Values that some loader unpickles or evaluates."""

    def said(value: Value) -> bytes:
        return model(None, (14, message((1, "names"), (2, value))))

    pickled = called("os", "system")
    return [
        one("onnx-metadata-pickle", said(pickled), HIDDEN),
        one("onnx-metadata-pickle-protocol-0", said(CALL), HIDDEN),
        one("onnx-metadata-pickle-base64", said(base64.b64encode(pickled)), HIDDEN),
        one("onnx-metadata-pickle-base64-url", said(base64.urlsafe_b64encode(pickled).rstrip(b"=")), HIDDEN),
        one("onnx-metadata-expression", said("__import__('os').system('true')"), HIDDEN),
        one("onnx-metadata-script", said("#!/bin/sh\ntrue\n"), HIDDEN),
        one("onnx-metadata-node-pickle",
            model(graph(node("Relu") + field(9, message((1, "k"), (2, pickled))))), HIDDEN),
    ]  # fmt: skip


def as_text() -> list[Hostile]:
    """``onnx.load`` reads JSON and text too, by the file's suffix; here they are never allowed."""
    document = {"irVersion": "10", "opsetImport": [{"domain": "my.ops", "version": "1"}],
                "graph": {"node": [{"opType": "Run", "domain": "my.ops"}]}}  # fmt: skip
    proto = 'ir_version: 10\ngraph {\n  node {\n    op_type: "Run"\n    domain: "my.ops"\n  }\n}\n'
    header = '<ir_version: 10, opset_import: ["" : 17, "my.ops" : 1]>\n'
    own = "g (float[2] x) => (float[2] y) { y = my.ops.Run(x) }\n"
    other = "# model\n" + proto.replace("{", "<").replace("}", ">")
    return [
        Hostile(name="onnx-as-json", files={"m.json": json.dumps(document).encode()}),
        Hostile(name="onnx-as-json-original-names",
                files={"m.json": json.dumps({"ir_version": 1, "graph": {"node": []}}).encode()}),
        Hostile(name="onnx-as-text-proto", files={"m.textproto": proto.encode()}),
        Hostile(name="onnx-as-text-proto-comment", files={"m.pbtxt": other.encode()}),
        Hostile(name="onnx-as-onnx-text", files={"m.onnxtxt": (header + own).encode()}),
        Hostile(name="onnx-as-onnx-text-without-header", files={"m.onnxtxt": own.encode()}),
    ]  # fmt: skip


GROUPS = (operators, tensors, metadata, as_text)
