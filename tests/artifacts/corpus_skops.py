"""Hostile skops archives, written by hand; what they name is never imported."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any

from tests.artifacts.corpus import CALL, Entry, Hostile, called, one, raw_zip

Node = dict[str, Any]
_HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
ARRAY = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(_HEADER)) + _HEADER + bytes(8)


def node(loader: str, path: str, **more: object) -> Node:
    """One node of a schema."""
    module, _, name = path.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def value(content: object) -> Node:
    """A plain value."""
    return node("JsonNode", "builtins.str", content=json.dumps(content), is_json=True)


def several(*items: Node, loader: str = "ListNode", kind: str = "list") -> Node:
    """A list, tuple or set."""
    return node(loader, f"builtins.{kind}", content=list(items))


def mapping(**items: Node) -> Node:
    """A dict of texts."""
    keys = several(*(node("TypeNode", "builtins.str") for _ in items))
    return node("DictNode", "builtins.dict", content=items, key_types=keys)


def array(file: str = "1.npy") -> Node:
    """An array that is held in a member."""
    return node("NdArrayNode", "numpy.ndarray", type="numpy", file=file)


def estimator(**attributes: Node) -> Node:
    """An estimator that skops trusts."""
    return node("ObjectNode", "sklearn.linear_model._ridge.Ridge", content=mapping(**attributes))


def skops(
    root: Node, *, files: Mapping[str, bytes] | None = None, protocol: object = 2, raw: bytes | None = None
) -> bytes:
    """A ``.skops`` file."""
    schema = json.dumps({**root, "protocol": protocol, "_skops_version": "0.16.0"}).encode() if raw is None else raw
    members = {"1.npy": ARRAY} if files is None else files
    return raw_zip([Entry(name=name, data=data) for name, data in {**members, "schema.json": schema}.items()])


def harmless_by_hand() -> bytes:
    """What the hostile ones differ from."""
    return skops(estimator(coef_=array(), alpha=value(1.0), solver=value("auto")))


def _generator(name: object, **more: object) -> Node:
    state = {"bit_generator": mapping(bit_generator=value(name)), "seed_seq": mapping()}
    return node("RandomGeneratorNode", "numpy.random._generator.Generator", content=state, **more)


def _generator_with_identity(identity: int) -> Node:
    found = _generator("PCG64")
    found["content"]["bit_generator"]["__id__"] = identity
    return found


TYPES: Mapping[str, Node] = {
    "cve-2024-37065-custom-type": node("ObjectNode", "evil.Model", content=mapping(a=value(1))),
    "cve-2025-54412-operator-of-another-type": node(
        "OperatorFuncNode", "sklearn.linear_model._stochastic_gradient.SGDRegressor.call",
        attrs=several(node("TypeNode", "builtins.eval"), loader="TupleNode", kind="tuple")),
    "cve-2025-54412-operator": node("OperatorFuncNode", "operator.methodcaller", attrs=several(value("system"))),
    "cve-2025-54413-method": node("MethodNode", "sklearn.linear_model._ridge.Ridge",
                                  content={"func": "decision_function.__builtins__", "obj": estimator()}),
    "cve-2025-54413-method-of-a-trusted-type": node("MethodNode", "builtins.dict",
                                                    content={"func": "__class__", "obj": mapping()}),
    "partial": node("PartialNode", "functools.partial",
                    content={key: mapping() for key in ("func", "args", "kwds", "namespace")}),
    "function": node("FunctionNode", "os.system"),
    "function-of-builtins": node("FunctionNode", "builtins.eval"),
    "function-named-as-an-estimator": node("FunctionNode", "sklearn.linear_model._ridge.Ridge"),
    "type": node("TypeNode", "subprocess.Popen"),
    "type-as-a-list": node("ListNode", "subprocess.Popen", content=[]),
    "type-as-a-dict": node("DictNode", "os.system", content={}, key_types=several()),
    "type-as-an-array": node("NdArrayNode", "os.system", type="numpy", file="1.npy"),
    "type-of-keys": node("DictNode", "builtins.dict", content={"true": value(1)},
                         key_types=several(node("TypeNode", "os.system"))),
    "constructor-from-reduce": node("ConstructorFromReduceNode", "subprocess.Popen", content=several(value("true"))),
    "default-factory": node("DefaultDictNode", "collections.defaultdict",
                            content={"main": mapping(), "default_factory": node("FunctionNode", "os.getcwd")}),
    "loss": node("LossNode", "os.system", __reduce__={"args": several()}, content=mapping()),
    "tree-whose-indices-nobody-checks": node("TreeNode", "sklearn.tree._tree.Tree",
                                             __reduce__={"args": several()}, content=mapping()),
    "unknown-loader": node("EvilNode", "builtins.dict"),
    "random-generator-seed": _generator("seed"),
    "random-generator-set-bit-generator": _generator("set_bit_generator"),
    "data-type": node("DTypeNode", "numpy.dtype", content=array()),
    "nested-where-no-node-is": {**estimator(), "other": [{"x": node("FunctionNode", "os.system")}]},
}  # fmt: skip


def types() -> list[Hostile]:
    """Types that skops does not trust, or that it was led to trust."""
    found = [one(f"skops-{name}", skops(estimator(x=item, y=array())), "skops-type") for name, item in TYPES.items()]
    return [*found, one("skops-type-at-the-root", skops(node("ObjectNode", "evil.Model"), files={}), "skops-type")]


def schemas() -> list[Hostile]:
    """Schemas that readers take differently, and members that nobody names."""
    bad = "malformed-skops"
    root = estimator(x=array())
    twice = json.dumps({**root, "protocol": 2}).replace('"ObjectNode"', '"ObjectNode", "__loader__": "MethodNode"')
    same = [value(1) | {"__id__": 7}, node("TypeNode", "builtins.str", __id__=7)]
    renamed = [value("PCG64") | {"__id__": 7}, value("seed") | {"__id__": 7}]
    return [
        one("skops-duplicate-key", skops(root, raw=twice.encode()), bad),
        one("skops-deep-schema", skops(root, raw=b'{"a":' * 100_000 + b"1" + b"}" * 100_000), bad),
        one("skops-schema-that-is-no-json", skops(root, raw=b"hello"), bad),
        one("skops-schema-that-is-a-list", skops(root, raw=b"[]"), bad),
        one("skops-two-schemas", raw_zip([Entry(name="schema.json", data=json.dumps(root).encode()),
            Entry(name="schema.json", data=json.dumps({**root, "protocol": 2}).encode())]), "zip-duplicate"),
        one("skops-protocol-of-the-future", skops(root, protocol=3), bad),
        one("skops-protocol-true", skops(root, protocol=True), bad),
        one("skops-protocol-below-zero", skops(root, protocol=-1), bad),
        one("skops-no-protocol", skops(root, protocol=None), bad),
        one("skops-generator-of-an-old-protocol", skops(estimator(x=_generator("PCG64")), files={}, protocol=0), bad),
        one("skops-generator-without-a-name", skops(estimator(x=_generator(7)), files={}), bad),
        one("skops-identity-of-two-types", skops(estimator(x=several(*same)), files={}), bad),
        one("skops-identity-of-two-values", skops(estimator(x=several(*renamed)), files={}), bad),
        one("skops-generator-that-another-identity-renames", skops(several(
            mapping(bit_generator=value("seed")) | {"__id__": 9}, _generator_with_identity(9)), files={}), bad),
        one("skops-identity-that-is-a-text", skops(estimator(x=value(1) | {"__id__": "7"}), files={}), bad),
        one("skops-node-without-a-module", skops(estimator(x={"__class__": "x", "__loader__": "ListNode"})), bad),
        one("skops-node-of-numbers", skops(estimator(x=value(1) | {"__class__": 1})), bad),
        one("skops-json-that-is-none", skops(estimator(x=value(1) | {"content": "{"}), files={}), bad),
        one("skops-json-that-is-a-number", skops(estimator(x=value(1) | {"content": 1}), files={}), bad),
        one("skops-member-that-is-missing", skops(root, files={}), bad),
        one("skops-member-that-nobody-names", skops(root, files={"1.npy": ARRAY, "2.npy": ARRAY}), bad),
        one("skops-member-that-is-a-pickle", skops(root, files={"1.npy": CALL}), "unsafe-global"),
        one("skops-member-that-is-a-harmless-pickle", skops(root, files={"1.npy": pickle.dumps([])}), "extra-pickle"),
        one("skops-member-that-is-text", skops(root, files={"1.npy": b"hello\n"})),
        one("skops-bytes-that-are-a-skops-file", skops(estimator(x=node("BytesNode", "builtins.bytes", file="e")),
            files={"e": skops(node("ObjectNode", "evil.Model"), files={})}), "skops-type"),
        one("skops-bad-checksum", raw_zip([Entry(name="schema.json", data=b"{}", crc=1)]), "zip-checksum"),
        Hostile(name="cve-2025-54886-pickle-as-skops", files={"model.skops": called("os", "system")},
                rule="artifact-scan.unsafe-global"),
    ]  # fmt: skip


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (types, schemas)
