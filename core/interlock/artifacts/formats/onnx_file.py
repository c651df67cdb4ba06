"""Scans an ONNX model by its wire format: operators that need somebody's library, and data from other files.

ONNX has no magic number. A file is one if protobuf would read it as a ``ModelProto`` with something in its graph
(`graph_file`); whatever only a hostile writer does in it is an error then. Tensors' bytes are never read.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlock.artifacts import record as rules
from interlock.artifacts.formats.onnx_operators import CONTRIB, IMPORTED_BY_RUNTIME, NEWEST_IR, PYTHON, STANDARD
from interlock.artifacts.formats.onnx_schema import SCHEMA
from interlock.artifacts.formats.onnx_tensors import TensorCheck
from interlock.artifacts.formats.protobuf import Kept, MalformedMessageError, Walk, fields, text
from interlock.artifacts.formats.smuggled import hidden_code
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_MOST_OPERATORS = 10_000


def scan_onnx(data: Buffer, path: str, record: Record) -> None:
    """Walk a model, its subgraphs, functions and training graphs.

    Args:
        data: Unverified bytes.
        path: For findings; files that tensors name are looked for beside it, in `Record.sizes`.
        record: Where findings go.

    Raises:
        LimitPassedError: The budget is spent.
    """
    scan = _Scan(data, path, record)
    walk = Walk(data=data, schema=SCHEMA, budget=record.budget, leave=scan.leave, unknown=scan.unknown_field)
    try:
        walk.message("Model", 0, len(data))
        scan.finish()
    except MalformedMessageError as error:
        record.error(rules.MALFORMED_GRAPH, f"no ONNX model that every reader takes alike: {error}", path, error.offset)
    record.looked(path)


class _Scan:
    """What one model was seen to hold."""

    def __init__(self, data: Buffer, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self.tensors = TensorCheck(data, path, record)
        self.imported: dict[str, int] = {}
        self.used: dict[tuple[str, str], int] = {}
        self.defined: set[tuple[str, str]] = set()

    def leave(self, name: str, kept: Kept, around: tuple[str, ...], at: int) -> None:
        """After each message; see `protobuf.Leave`."""
        if name == "Node":
            self._use(self._domain(kept, 7), self._text(kept, 4), at)
        elif name == "Tensor":
            self.tensors.check(kept, at)
        elif name == "Entry":
            self._entry(kept, around, at)
        elif name == "OperatorSetId":
            self.imported.setdefault(self._domain(kept, 1), at)
        elif name == "Function":
            self.defined.add((self._domain(kept, 10), self._text(kept, 1)))
        elif name == "Graph":
            self._initializers(kept.get(5, ()))
        elif name == "Model":
            self._model(kept)

    def unknown_field(self, name: str, number: int, at: int) -> None:
        """A field that onnx 1.23 does not have: a newer ONNX, or something hidden from this scan."""
        self.record.fail(self.path, f"field {number} of {name}, at byte {at}, is none that ONNX up to 1.23 has")

    def finish(self) -> None:
        """Judge the operators, once it is known which ones the model defines by itself."""
        for (domain, operator), at in self.used.items():
            self._judge(domain, operator, at)
        defined = {domain for domain, _ in self.defined}
        for domain, at in self.imported.items():
            if domain in STANDARD or domain in CONTRIB or domain in IMPORTED_BY_RUNTIME or domain in defined:
                continue
            self._custom(f"imports the operator domain {shown(domain)!r}, which is no standard one", at, domain=domain)

    def _judge(self, domain: str, operator: str, at: int) -> None:
        named = shown(f"{domain or 'ai.onnx'}.{operator}")
        if operator in PYTHON:
            self._custom(f"the operator {named} runs code that the model names", at, domain=domain, operator=operator)
        elif (domain, operator) in self.defined or operator in STANDARD.get(domain, CONTRIB.get(domain, ())):
            return
        elif domain in STANDARD:
            self.record.fail(self.path, f"the operator {named} is none that ONNX up to 1.23 has")
        else:
            what = (
                f"the operator {named} is neither standard nor built into ONNX Runtime: it needs a library of its own"
            )
            self._custom(what, at, domain=domain, operator=operator)

    def _custom(self, what: str, at: int, *, domain: str, operator: str = "") -> None:
        self.record.error(rules.CUSTOM_OPERATOR, what, self.path, at, domain=shown(domain), operator=shown(operator))

    def _use(self, domain: str, operator: str, at: int) -> None:
        if len(self.used) < _MOST_OPERATORS or domain not in STANDARD:
            self.used.setdefault((domain, operator), at)

    def _initializers(self, spans: Sequence[tuple[int, int]]) -> None:
        names: set[bytes] = set()
        for start, end in spans:
            for number, _, first, last in fields(self.data, start, end, self.record.budget):
                if number != 8:
                    continue
                self.record.budget.hold_text(last - first)
                name = bytes(self.data[first:last])
                if name in names:
                    what = f"two tensors of a graph are named {shown(name.decode('utf-8', 'replace'))!r}"
                    self.record.error(rules.MALFORMED_GRAPH, f"{what}, of which readers take either", self.path, start)
                names.add(name)

    def _model(self, kept: Kept) -> None:
        version = kept.get(1, [(0, 0)])[0][0]
        if version > NEWEST_IR:
            self.record.fail(
                self.path, f"IR version {version}, newer than {NEWEST_IR}, which is the last one known here"
            )
        if not version or (version >= 3 and 8 not in kept):
            what = "an ONNX model without its ir_version or without opset_import: no exporter leaves them out"
            self.record.error(rules.MALFORMED_GRAPH, what, self.path, 0)

    def _entry(self, kept: Kept, around: tuple[str, ...], at: int) -> None:
        if 2 not in kept:
            return
        self.record.budget.hold_text(kept[2][0][1] - kept[2][0][0])
        value = bytes(self.data[kept[2][0][0] : kept[2][0][1]])
        # Exporters keep a node's source line in the node's metadata; nobody keeps source in the model's.
        problem = hidden_code(value, source=around == ("Model",))
        if problem:
            what = f"metadata_props[{shown(self._text(kept, 1), 60)!r}] {problem}"
            self.record.error(rules.HIDDEN_CODE, what, self.path, at)

    def _domain(self, kept: Kept, number: int) -> str:
        domain = self._text(kept, number)
        return "" if domain == "ai.onnx" else domain

    def _text(self, kept: Kept, number: int) -> str:
        return text(self.data, kept[number][0], self.record.budget) if number in kept else ""
