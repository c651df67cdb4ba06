"""Harmless ONNX models, really saved by onnx."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.artifacts.harmless import Harmless, one


def _graph(nodes: list[onnx.NodeProto], **more: object) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "g", [value], [result], **more)  # type: ignore[arg-type]


def _saved(graph: onnx.GraphProto, *opsets: tuple[str, int], **more: object) -> bytes:
    imports = [helper.make_opsetid(domain, version) for domain, version in (("", 21), *opsets)]
    model = helper.make_model(graph, opset_imports=imports, producer_name="tests", **more)
    model.ir_version = 10
    return bytes(model.SerializeToString())


def linear(rows: int = 3) -> onnx.GraphProto:
    """A matrix product and a bias."""
    weights = [
        numpy_helper.from_array(np.ones((rows, 2), np.float32), "w"),
        numpy_helper.from_array(np.zeros(2, np.float32), "b"),
    ]
    return _graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])], initializer=weights
    )


def _branches() -> onnx.GraphProto:
    def branch(operator: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["x"], ["r"])], operator, [], [result])

    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg"))
    return _graph([condition, chosen])


def _function() -> bytes:
    body = [helper.make_node("Mul", ["a", "a"], ["s"])]
    square = helper.make_function("local", "Square", ["a"], ["s"], body, [helper.make_opsetid("", 21)])
    graph = _graph([helper.make_node("Square", ["x"], ["y"], domain="local")])
    return _saved(graph, ("local", 1), functions=[square])


def _every_type() -> bytes:
    kinds = [kind for kind in TensorProto.DataType.values() if kind not in (TensorProto.UNDEFINED, TensorProto.STRING)]
    tensors = [helper.make_tensor(f"t{kind}", kind, [3], bytes(-(-3 * _bits(kind) // 8)), raw=True) for kind in kinds]
    tensors.append(numpy_helper.from_array(np.array(["a", "b"], dtype=object), "text"))
    tensors.append(helper.make_tensor("floats", TensorProto.FLOAT, [2], [1.0, 2.0]))
    tensors.append(helper.make_tensor("none", TensorProto.FLOAT, [0, 4], b"", raw=True))
    return _saved(_graph([helper.make_node("Identity", ["x"], ["y"])], initializer=tensors))


def _bits(kind: int) -> int:
    narrow: dict[int, int] = {
        TensorProto.UINT4: 4, TensorProto.INT4: 4, TensorProto.FLOAT4E2M1: 4, TensorProto.UINT2: 2, TensorProto.INT2: 2,
        TensorProto.FLOAT6E2M3: 6, TensorProto.FLOAT6E3M2: 6, TensorProto.BOOL: 8,
    }  # fmt: skip
    return narrow[kind] if kind in narrow else int(helper.tensor_dtype_to_np_dtype(kind).itemsize) * 8


def _external(folder: Path, *, one_file: bool) -> dict[str, bytes]:
    model = onnx.load_model_from_string(_saved(linear(200)))
    onnx.save_model(
        model, str(folder / "model.onnx"), save_as_external_data=True, all_tensors_to_one_file=one_file,
        location="model.onnx.data" if one_file else None, size_threshold=0,
    )  # fmt: skip
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _metadata() -> bytes:
    model = onnx.load_model_from_string(_saved(linear()))
    helper.set_model_props(model, {"names": "{0: 'person', 1: 'bus'}", "stride": "32", "author": "größe", "empty": ""})
    return bytes(model.SerializeToString())


def harmless_onnx() -> dict[str, Harmless]:
    """Every harmless ONNX subject by name."""
    gelu = _graph([helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft", transB=1)])
    scaler = _graph([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", scale=[1.0], offset=[0.0])])
    runtime = [("com.microsoft", 1), ("ai.onnx.training", 1), ("com.ms.internal.nhwc", 21), ("org.pytorch.aten", 1)]
    cases = {
        "onnx-linear": _saved(linear()), "onnx-branches": _saved(_branches()), "onnx-function": _function(),
        "onnx-every-type": _every_type(), "onnx-metadata": _metadata(),
        "onnx-contrib-operator": _saved(gelu, *runtime), "onnx-ml": _saved(scaler, ("ai.onnx.ml", 3)),
    }  # fmt: skip
    subjects = {name: one("torch-state-dict", content, "onnx") for name, content in cases.items()}
    for name, one_file in (("onnx-external-one-file", True), ("onnx-external-many-files", False)):
        with tempfile.TemporaryDirectory() as folder:
            files = _external(Path(folder), one_file=one_file)
        formats = frozenset({"onnx", "onnx-external-data"})
        subjects[name] = Harmless(profile="torch-state-dict", files=files, formats=formats)
    return subjects
