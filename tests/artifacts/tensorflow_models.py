"""Models that TensorFlow 2.21 saved (``make_tensorflow.py``), and what no TensorFlow would write, made of them by hand.

The first are real and unchanged. The second are written after the ``.proto`` files that `tensorflow_schema` names;
TensorFlow itself is not installed where these tests run, so that it would load them is not shown here.
"""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path

from tests.artifacts.corpus import Files, Hostile, called, one
from tests.artifacts.harmless import Harmless
from tests.artifacts.wire import field, message, varint

UNSAFE, MALFORMED, HIDDEN, EXTERNAL = "unsafe-operator", "malformed-graph", "hidden-code", "external-data"
FORMATS = {
    "saved_model.pb": "tensorflow", "frozen.pb": "tensorflow", "fingerprint.pb": "tensorflow-fingerprint",
    "variables.index": "tensorflow-checkpoint", "variables.data-00000-of-00001": "tensorflow-checkpoint-data",
    "vocab.txt": "text",
}  # fmt: skip


def folders() -> dict[str, Files]:
    """Every saved model by name."""
    found: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(Path(__file__).with_name("tensorflow.zip")) as archive:
        for name in archive.namelist():
            model, _, inside = name.partition("/")
            found.setdefault(model, {})[inside] = archive.read(name)
    return dict(found)


def harmless_tensorflow() -> dict[str, Harmless]:
    """What TensorFlow saved without tricks."""
    return {
        f"tensorflow-{name}": Harmless(
            profile="torch-state-dict",
            files=files,
            formats=frozenset(FORMATS[file.rpartition("/")[2]] for file in files),
        )
        for name, files in folders().items()
        if not name.startswith("hostile-")
    }


def saved_by_tensorflow() -> list[Hostile]:
    """Models with operators that act, really saved by TensorFlow."""
    return [
        Hostile(name=f"tensorflow-{name.removeprefix('hostile-')}", files=files,
                rule="" if name == "hostile-text" else f"artifact-scan.{UNSAFE}")
        for name, files in folders().items() if name.startswith("hostile-")
    ]  # fmt: skip


def node(operator: str, name: str = "n", *inputs: str, more: bytes = b"") -> bytes:
    """A node of a graph."""
    return message((1, name), (2, operator), *((3, wire) for wire in inputs)) + more


def constant(name: str, value: str) -> bytes:
    """A node that holds a text."""
    tensor = message((1, 7), (8, value))
    return node("Const", name, more=field(5, message((1, "value"), (2, message((8, tensor))))))


def calls(name: str, function: str, *inputs: str, operator: str = "StatefulPartitionedCall") -> bytes:
    """A node that calls a function."""
    return node(operator, name, *inputs, more=field(5, message((1, "f"), (2, message((10, message((1, function))))))))


def function(name: str, *nodes: bytes, arguments: tuple[str, ...] = ("x",)) -> bytes:
    """A function of the library."""
    signature = message((1, name), *((2, message((1, argument))) for argument in arguments))
    return message((1, signature), *((3, part) for part in nodes))


def model(*nodes: bytes, functions: tuple[bytes, ...] = (), saver: str = "", more: bytes = b"") -> bytes:
    """A saved model."""
    library = field(2, message(*((1, part) for part in functions))) if functions else b""
    graph = message(*((1, part) for part in nodes)) + library
    feeds = field(3, message((1, saver))) if saver else b""
    return message((1, 1), (2, field(2, graph) + feeds + more))


def _tricks() -> list[Hostile]:
    reads = node("ReadFile", "r", "x")
    save = node("SaveV2", "s", "x", "x", "x")
    saves = function("saves", save)
    graph = field(1, reads)
    feed = node("Placeholder", "file")
    looped = calls("c", "saves", "file", operator="StatelessWhile")
    served = field(5, message((1, "serve"), (2, message((1, message((1, "in"), (2, message((1, "file:0")))))))))
    return [
        one("tensorflow-custom-operator", model(node("Addons>Evil")), UNSAFE),
        one("tensorflow-load-library", model(node("LoadLibrary")), UNSAFE),
        one("tensorflow-compiled-program", model(node("XlaCallModule")), UNSAFE),
        one("tensorflow-in-a-function", model(node("NoOp"), functions=(function("f", reads),)), UNSAFE),
        one("tensorflow-only-in-a-function", model(functions=(function("f", reads),)), UNSAFE),
        one("tensorflow-second-meta-graph", model(node("NoOp")) + field(2, field(2, graph)), UNSAFE),
        one("tensorflow-two-graphs", message((1, 1), (2, field(2, field(1, node("NoOp"))) + field(2, graph))),
            MALFORMED),
        one("tensorflow-operator-twice", model(reads + field(2, "NoOp")), MALFORMED),
        one("tensorflow-graph-only", graph, UNSAFE),
        one("tensorflow-meta-graph-only", field(2, graph), UNSAFE),
        one("tensorflow-in-a-group", model(node("NoOp")) + varint(9 << 3 | 3) + varint(9 << 3 | 4), MALFORMED),
        one("tensorflow-unknown-field", model(node("NoOp")) + field(77, b"x")),
        one("tensorflow-cut-off", model(node("NoOp"))[:-1]),
        one("tensorflow-save-called-from-a-loop", model(feed, looped, functions=(saves,), saver="file:0"), UNSAFE),
        one("tensorflow-save-called-with-a-constant",
            model(constant("k", "/tmp/x"), calls("c", "saves", "k"), functions=(saves,)), UNSAFE),
        one("tensorflow-save-called-through-a-function",
            model(constant("k", "/tmp/x"), calls("c", "outer", "k"),
                  functions=(saves, function("outer", calls("c", "saves", "x")))), UNSAFE),
        one("tensorflow-save-called-as-an-operator",
            model(constant("k", "/tmp/x"), node("saves", "c", "k"), functions=(saves,)), UNSAFE),
        one("tensorflow-save-appends-a-path",
            model(feed, constant("k", "/../../x"), node("StringJoin", "x", "file", "k"), save, saver="file:0"), UNSAFE),
        one("tensorflow-save-to-a-served-name", model(feed, node("SaveV2", "s", "file"), saver="file:0", more=served),
            UNSAFE),
        one("tensorflow-saver-is-a-constant", model(constant("file", "/tmp/x"), node("SaveV2", "s", "file"),
            saver="file:0"), UNSAFE),
        one("tensorflow-saver-falls-back-to-a-path",
            model(constant("k", "/tmp/x"), node("PlaceholderWithDefault", "file", "k"), node("SaveV2", "s", "file"),
                  saver="file:0"), UNSAFE),
        one("tensorflow-save-name-from-a-variable",
            model(node("VarHandleOp", "v"), node("ReadVariableOp", "r", "v"), node("SaveV2", "s", "r")), UNSAFE),
        one("tensorflow-save-without-a-name", model(node("SaveV2", "s")), UNSAFE),
        one("tensorflow-asset-outside", model(node("NoOp"), more=field(6, message((2, "../../etc/passwd")))), EXTERNAL),
        one("tensorflow-asset-absolute", model(node("NoOp"), more=field(6, message((2, "/etc/passwd")))), EXTERNAL),
        one("tensorflow-asset-not-there", model(node("NoOp"), more=field(6, message((2, "vocab.txt"))))),
        one("tensorflow-and-onnx", model(node("NoOp")) + field(7, message((1, message((4, "Relu"))))), "polyglot"),
    ]  # fmt: skip


def _keras() -> list[Hostile]:
    code = base64.b64encode(b"\xe3" + bytes(20)).decode()
    layers = {
        "cve-2024-3660-lambda": {"class_name": "Lambda", "config": {"function": [code, None, None]}},
        "lambda-nested": {"class_name": "Functional", "config": {"layers": [{"class_name": "Lambda"}]}},
        "operator-layer-that-writes": {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
    }
    cases = []
    for name, layer in layers.items():
        entry = message((2, 1), (3, "root.layer"), (4, "_tf_keras_layer"), (5, json.dumps(layer)))
        cases.append(one(f"keras-metadata-{name}", field(1, entry), HIDDEN))
        objects = field(7, field(1, field(4, message((1, "_tf_keras_layer"), (3, json.dumps(layer))))))
        cases.append(one(f"tensorflow-object-{name}", model(node("NoOp"), more=objects), HIDDEN))
    broken = message((2, 1), (3, "root"), (4, "_tf_keras_layer"), (5, "{"))
    return [*cases, one("keras-metadata-no-json", field(1, broken))]


def _checkpoints() -> list[Hostile]:
    files = folders()["affine"]
    data, index = "variables/variables.data-00000-of-00001", files["variables/variables.index"]
    alone = {"variables.index": index}
    return [
        Hostile(name="tensorflow-checkpoint-index-alone", files=alone),
        Hostile(name="tensorflow-checkpoint-data-alone", files={data: files[data]}),
        Hostile(name="tensorflow-checkpoint-data-short", files={**files, data: files[data][:40]},
                rule=f"artifact-scan.{EXTERNAL}"),
        Hostile(name="tensorflow-checkpoint-data-is-a-pickle",
                files={**files, data: called("os", "system") + files[data]}, rule="artifact-scan.unsafe-global"),
        Hostile(name="tensorflow-checkpoint-index-broken", rule=f"artifact-scan.{MALFORMED}",
                files={**files, "variables/variables.index": index[:-48] + b"\xff\x7f" + index[-46:]}),
        Hostile(name="tensorflow-checkpoint-index-cut-off",
                files={**files, "variables/variables.index": index[:-9]}),
    ]  # fmt: skip


GROUPS = (saved_by_tensorflow, _tricks, _keras, _checkpoints)
