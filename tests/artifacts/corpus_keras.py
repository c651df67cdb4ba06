"""Hostile Keras and HDF5 files, written by hand and by h5py; payloads are names and texts that nobody ever loads."""

from __future__ import annotations

import base64
import copy
import io
import json
import marshal
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import h5py  # type: ignore[import-untyped]  # no stubs
import numpy as np
from tests.artifacts.corpus import CALL, Entry, Hostile, one, raw_zip, tensor, torch_entries

Config = dict[str, Any]
BYTE_CODE = base64.b64encode(marshal.dumps(compile("1", "inert", "eval"))).decode()


def layer(class_name: str, config: object = None, module: str | None = "keras.layers", **more: object) -> Config:
    """One serialized object."""
    found: Config = {"class_name": class_name, "config": {} if config is None else config, **more}
    return found if module is None else {"module": module, "registered_name": None, **found}


def function(module: str, name: object, **more: object) -> Config:
    """One serialized function."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name, **more}


def model(*layers: object, **more: object) -> Config:
    """A sequential model."""
    first = layer("InputLayer", {"batch_shape": [None, 4], "dtype": "float32", "name": "input"})
    return layer("Sequential", {"name": "model", "trainable": True, "layers": [first, *layers]}, "keras", **more)


def h5(fill: Callable[[h5py.File], object], **options: Any) -> bytes:
    """What h5py writes."""
    out = io.BytesIO()
    with h5py.File(out, "w", **options) as file:
        fill(file)
    return out.getvalue()


def weights() -> bytes:
    """Harmless weights as Keras lays them out."""
    return h5(lambda file: file.create_dataset("layers/dense/vars/0", data=np.ones((4, 3), np.float32)))


def keras(config: object, *, extra: Mapping[str, bytes] | None = None, held: bytes | None = None) -> bytes:
    """A ``.keras`` file; `config` is a document, or the bytes of one."""
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    members = {
        "metadata.json": b'{"keras_version": "3.15.1", "date_saved": "2026-11-27@12:00:00"}',
        "config.json": text,
        "model.weights.h5": weights() if held is None else held,
        **(extra or {}),
    }
    return raw_zip([Entry(name=name, data=data) for name, data in members.items()])


def legacy(config: object, **training: object) -> bytes:
    """A legacy ``.h5`` file."""

    def fill(file: h5py.File) -> None:
        file.attrs["model_config"] = config if isinstance(config, str | bytes) else json.dumps(config)
        if training:
            file.attrs["training_config"] = json.dumps(training)
        file.create_dataset("model_weights/dense/kernel", data=np.ones(3, np.float32))

    return h5(fill)


def without_modules(config: Config) -> Config:
    """The same as the legacy format has it."""
    found = copy.deepcopy(config)
    left: list[object] = [found]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            item.pop("module", None)
            item.pop("registered_name", None)
            left += item.values()
        elif isinstance(item, list):
            left += item
    return found


LAMBDA = layer("Lambda", {"function": {"class_name": "__lambda__", "config": {"code": BYTE_CODE, "defaults": None}}})
TRICKS: Mapping[str, Config] = {
    "cve-2024-3660-lambda-byte-code": LAMBDA,
    "lambda-that-names-a-function": layer("Lambda", {"function": function("builtins", "relu")}),
    "cve-2025-1550-module-and-function": {**function("os", "system"), "inbound_nodes": [{"args": ["true"]}]},
    "cve-2025-1550-class-of-another-module": layer("Popen", {"args": ["true"]}, "subprocess"),
    "cve-2025-8747-reused-internal": function("keras.src.utils.python_utils", "func_load"),
    "cve-2025-8747-get-file": layer("Lambda", {"function": function("keras.utils", "get_file"),
                                               "arguments": {"origin": "http://127.0.0.1/x"}}),
    "cve-2025-9906-enable-unsafe-deserialization": function("keras.config", "enable_unsafe_deserialization"),
    "cve-2025-9906-load-model-unsafely": layer("Lambda", {"function": function("keras.models", "load_model"),
                                                          "arguments": {"safe_mode": False}}),
    "cve-2025-12060-get-file-of-a-tar": {**function("keras.utils", "get_file"),
                                         "inbound_nodes": [{"kwargs": {"extract": True}}]},
    "cve-2025-12638-extract-archive": function("keras.src.utils.file_utils", "extract_archive"),
    "cve-2025-49655-torch-module-wrapper": layer("TorchModuleWrapper", {"module": BYTE_CODE}),
    "cve-2026-1462-tfsm-layer": layer("TFSMLayer", {"filepath": "/tmp/model", "call_endpoint": "serve"}),
    "jax-layer": layer("JaxLayer", {"call_fn": {"class_name": "__lambda__", "config": BYTE_CODE}}),
    "flax-layer": layer("FlaxLayer", {"module": "m"}),
    "custom-class": layer("Evil", {}, "evil", registered_name="Custom>Evil"),
    "custom-class-under-a-keras-name": layer("Dense", {"units": 1}, registered_name="Custom>Dense"),
    "custom-class-in-a-keras-module": layer("Evil", {}),
    "class-of-keras-src": layer("Dense", {"units": 1}, "keras.src.layers.core.dense"),
    "class-of-keras-hub": layer("Backbone", {}, "keras_hub.models"),
    "typespec": {"class_name": "__typespec__", "spec_name": "VariableSpec", "module": "evil", "config": [],
                 "registered_name": None},
    "tf-type-spec": {"class_name": "TypeSpec", "type_spec": "tf.RaggedTensorSpec", "serialized": []},
    "tf-type-key": {"_tf_type": "spec", "value": 1},
    "bare-lambda": {"class_name": "__lambda__", "config": {"value": BYTE_CODE}},
    "function-of-builtins-eval": function("builtins", "eval"),
    "function-without-a-name": function("builtins", ["eval"]),
    "function-registered-as-another": function("builtins", "relu", ) | {"registered_name": "Custom>relu"},
    "loss-function-of-keras-saving": function("keras.saving", "load_model"),
    "feature-space-of-keras-utils": layer("FeatureSpace", {}, "keras.utils"),
    "class-name-that-is-a-list": layer("Dense") | {"class_name": ["Lambda"]},
    "module-that-is-a-number": layer("Dense") | {"module": 1},
    "tf-op-lambda": layer("TFOpLambda", {"function": "io.read_file"}),
    "tf-op-layer": layer("TensorFlowOpLayer", {"node_def": "op: 'ReadFile'"}),
    "higher-order-operation": layer("Map", {"function": function("builtins", "relu")}, "keras.src.ops.core"),
    "nested-in-time-distributed": layer("TimeDistributed", {"layer": LAMBDA}),
    "nested-in-bidirectional": layer("Bidirectional", {"layer": layer("RNN", {"cell": LAMBDA})}),
    "nested-in-an-initializer": layer("Dense", {"kernel_initializer": function("os", "system")}),
    "nested-in-a-model": model(model(LAMBDA)),
    "nested-in-build-config": layer("Dense", {"units": 1}, build_config={"x": [LAMBDA]}),
    "nested-in-inbound-nodes": layer("Dense", {"units": 1}, inbound_nodes=[{"args": [LAMBDA], "kwargs": {}}]),
}  # fmt: skip


def tricks() -> list[Hostile]:
    """Each trick in a ``.keras`` file, and the classes among them in a legacy ``.h5``."""
    found = [one(f"keras-{name}", keras(model(trick)), "keras-class") for name, trick in TRICKS.items()]
    for name in ("cve-2024-3660-lambda-byte-code", "lambda-that-names-a-function", "cve-2026-1462-tfsm-layer",
                 "cve-2025-49655-torch-module-wrapper", "custom-class", "tf-op-lambda",
                 "nested-in-time-distributed", "tf-type-spec"):  # fmt: skip
        content = legacy(without_modules(model(TRICKS[name])))
        found.append(one(f"h5-cve-2025-9905-{name}", content, "keras-class"))
    return found


def descriptions() -> list[Hostile]:
    """Configurations that readers take differently, that name files, or that are somewhere else."""
    fine = json.dumps(model(layer("Dense", {"units": 1})))
    twice = fine.replace('"layers":', '"layers": [' + json.dumps(LAMBDA) + '], "layers":')
    lookup = layer("StringLookup", {"vocabulary": "/etc/passwd"})
    both = io.BytesIO()
    with zipfile.ZipFile(both, "w") as archive:
        archive.writestr("config.json", fine)
        archive.writestr("schema.json", '{"protocol": 2}')
    compiled = model(compile_config={"optimizer": "adam", "loss": function("os", "system")})
    return [
        one("keras-compile-config", keras(compiled), "keras-class"),
        one("keras-cve-2025-12058-string-lookup", keras(model(lookup)), "external-file"),
        one("keras-cve-2025-12058-text-vectorization",
            keras(model(layer("TextVectorization", {"vocabulary": "http://127.0.0.1/v"}))), "external-file"),
        one("h5-cve-2025-12058-string-lookup", legacy(without_modules(model(lookup))), "external-file"),
        one("h5-custom-loss", legacy(without_modules(model()), loss={"class_name": "Custom>Loss", "config": {}}),
            "keras-class"),
        one("keras-duplicate-key", keras(twice.encode()), "malformed-keras"),
        one("keras-two-configs", raw_zip([Entry(name="config.json", data=fine.encode()),
            Entry(name="config.json", data=json.dumps(model(LAMBDA)).encode())]), "zip-duplicate"),
        one("keras-two-configs-by-case", raw_zip([Entry(name="config.json", data=fine.encode()),
            Entry(name="CONFIG.json", data=json.dumps(model(LAMBDA)).encode())]), "zip-duplicate"),
        one("keras-deep-config", keras(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "malformed-keras"),
        one("keras-utf-16-config", keras(fine.encode("utf-16")), "malformed-keras"),
        one("keras-config-that-is-no-json", keras(b"class_name"), "malformed-keras"),
        one("keras-huge-number", keras(b'{"class_name": 1' + b"0" * 5000 + b"}"), "malformed-keras"),
        one("keras-object-without-a-class", keras({"module": "os", "config": {}, "registered_name": "x"})),
        one("keras-metadata-of-objects", keras(json.loads(fine), extra={"metadata.json": b'{"keras_version": {}}'}),
            "malformed-keras"),
        one("keras-and-skops", both.getvalue(), "polyglot"),
        one("keras-bad-checksum", raw_zip([Entry(name="config.json", data=fine.encode(), crc=1)]), "zip-checksum"),
        one("keras-with-a-pickle-asset", keras(json.loads(fine), extra={"assets/v.txt": CALL}), "unsafe-global"),
        one("keras-with-a-harmless-pickle", keras(json.loads(fine), extra={"assets/v.txt": tensor()[:2] + b"N."}),
            "extra-pickle"),
        one("keras-with-a-program", keras(json.loads(fine), extra={"assets/v": b"\x7fELF" + bytes(60)}),
            "executable-format"),
        one("keras-with-another-member", keras(json.loads(fine), extra={"setup.py": b"import os\n"}),
            "malformed-keras"),
        one("keras-escaping-asset", keras(json.loads(fine), extra={"assets/../../x": b"x"}), "zip-path"),
        one("keras-weights-that-are-a-pickle", keras(json.loads(fine), held=CALL), "unsafe-global"),
        one("keras-weights-that-are-text", keras(json.loads(fine), held=b"hello\n")),
        one("keras-weights-with-a-lambda", keras(json.loads(fine), held=legacy(model(LAMBDA))), "keras-class"),
        one("json-of-a-keras-model", json.dumps(model(LAMBDA)).encode(), "keras-class"),
        one("json-list-of-keras-objects", json.dumps([[{"a": LAMBDA}]]).encode(), "keras-class"),
        Hostile(name="keras-folder", files={"config.json": json.dumps(model(LAMBDA)).encode(),
                "metadata.json": b"{}", "model.weights.h5": weights()}, rule="artifact-scan.keras-class"),
    ]  # fmt: skip


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/0", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def _external_link(file: h5py.File) -> None:
    file["layers"] = h5py.ExternalLink("/tmp/other.h5", "/layers")


def _soft_link(file: h5py.File) -> None:
    file["a"] = np.ones(2)
    file["b"] = h5py.SoftLink("/a")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "a", (4,))
    file.create_virtual_dataset("v", layout)


def _named_type(file: h5py.File) -> None:
    file["t"] = np.dtype("f4")
    file.create_dataset("a", (2,), dtype=file["t"])


def _reference(file: h5py.File) -> None:
    file["a"] = np.ones(1)
    file["r"] = file["a"].ref


def _many_links(file: h5py.File) -> None:
    for number in range(40):
        file[f"x{number}"] = h5py.ExternalLink("/tmp/other.h5", "/a")


def structures() -> list[Hostile]:
    """HDF5 files that open others, load plug-ins, fill the memory or are no HDF5 files."""
    fine = weights()
    root = fine.index(b"TREE")
    bad_kind = bytearray(fine)
    bad_kind[root + 4] = 7
    turned = bytearray(legacy(model(layer("Dense", {"units": 1}))))
    zeros = legacy(json.dumps(model(layer("Dense"))) + " " * 8)
    return [
        one("h5-cve-2026-1669-external-storage", h5(_external_storage), "external-file"),
        one("h5-cve-2026-1669-external-link", h5(_external_link), "external-file"),
        one("h5-cve-2026-1669-external-link-new-style", h5(_external_link, libver="latest"), "external-file"),
        one("h5-cve-2026-1669-virtual-dataset", h5(_virtual, libver="latest"), "external-file"),
        one("keras-cve-2026-1669-external-storage", keras(model(), held=h5(_external_storage)), "external-file"),
        one("keras-cve-2026-1669-external-link", keras(model(), held=h5(_external_link)), "external-file"),
        one("h5-soft-link", h5(_soft_link), "hdf5-feature"),
        one("h5-named-datatype", h5(_named_type), "hdf5-feature"),
        one("h5-filter-plug-in", h5(lambda file: file.create_dataset("a", data=np.ones((300, 300)),
            compression="lzf")), "hdf5-feature"),
        one("h5-cve-2026-0897-shape", h5(lambda file: file.create_dataset("a", (1 << 40,), "f4")), "malformed-hdf5"),
        one("h5-cve-2026-0897-chunked-shape", h5(lambda file: file.create_dataset("a", (1 << 40,), "f4",
            chunks=(1024,))), "malformed-hdf5"),
        one("h5-references", h5(_reference)),
        one("h5-dense-links", h5(_many_links, libver="latest")),
        one("h5-config-that-is-an-array", h5(lambda file: file.attrs.create("model_config", ["{}", "{}"])),
            "malformed-hdf5"),
        one("h5-config-that-is-no-json", legacy("class_name"), "malformed-keras"),
        one("h5-config-behind-a-zero-byte", zeros.replace(b" " * 8, b"\0evil   "), "malformed-keras"),
        one("h5-bytes-behind-it", fine + b"junk", "trailing-data"),
        one("h5-cut-off", fine[:-8], "malformed-hdf5"),
        one("h5-only-its-magic", b"\x89HDF\r\n\x1a\n", "malformed-hdf5"),
        one("h5-superblock-of-another-version", fine[:8] + b"\x09" + fine[9:], "malformed-hdf5"),
        one("h5-broken-tree", bytes(bad_kind), "malformed-hdf5"),
        one("h5-object-past-the-end", bytes(turned[:64]) + b"\xff" * 7 + b"\x7f" + bytes(turned[72:]),
            "malformed-hdf5"),
        one("h5-behind-a-user-block", (b"hello, this is text\n" * 26)[:512] + legacy(model(LAMBDA)), ""),
        one("h5-and-zip", fine + raw_zip(torch_entries()), "polyglot"),
        one("zip-that-is-also-h5", _inside_a_storage(legacy(model(LAMBDA))), "keras-class"),
    ]  # fmt: skip


def _inside_a_storage(content: bytes) -> bytes:
    """A torch archive that is right in all its parts, whose only storage is where HDF5 looks for a file to begin."""

    def archive(padding: int) -> bytes:
        storage = bytes(padding) + content
        count = b"J" + struct.pack("<i", len(storage)) + b"tQ"
        main = tensor(kind="ByteStorage").replace(b"K\x02tQ", count)
        return raw_zip(torch_entries(main, storages={"0": storage}))

    return archive(4096 - archive(0).index(content))


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (tricks, descriptions, structures)
