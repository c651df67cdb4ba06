"""Walks TorchScript's serialised code: Python's syntax, compiled and run by torch, not by Python.

``torch.jit.load`` compiles every file below ``code/`` (``torch/csrc/jit/serialization/import_source.cpp``). The code
can only call operators and itself, but operators write files (``aten::save``), map them (``aten::from_file``) and talk
to other processes. So names are allowed one by one. torch has a parser of its own; where the two could read a file
differently, the raw text decides as well.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.torchscript_operators import ATEN, COMPUTING_NAMESPACES, PRIM
from interlock.artifacts.record import Record, shown

_SYNTAX: Final = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.AnnAssign, ast.AugAssign,
    ast.Return, ast.If, ast.While, ast.For, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Name,
    ast.Attribute, ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.Constant, ast.List, ast.Tuple, ast.Dict,
    ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop,
    ast.IfExp, ast.expr_context,
)  # fmt: skip
_BUILTINS: Final = frozenset({
    "annotate", "unchecked_cast", "uninitialized", "range", "print", "isinstance", "int", "float", "bool", "str", "len",
    "getattr", "hasattr", "fork", "complex", "Exception", "unannotated",
})  # fmt: skip
_ROOTS: Final = frozenset({"torch", "ops", "__torch__", "CONSTANTS"})
# Wherever they stand, in a comment or a text too: a reader that saw code there would run them.
_FORBIDDEN: Final = re.compile(r"\.\s*(?:save|from_file|rpc_sync|rpc_async|rpc_remote|PythonOp)\b|\bprofiler\s*\.")
_CLASSES: Final = re.compile(r"torch\.classes\.(?:quantized|sparse|xnnpack|mkldnn|rnn)\.\w+\Z")


def class_names(path: str, source: str) -> Iterator[str]:
    """Qualified names of the classes of one file, ``__torch__.package.Class``; none of a file anywhere else.

    Args:
        path: Below ``code/``, for example ``__torch__/torch/nn/modules/linear.py``.
        source: The file, unverified.
    """
    tree = _parsed(source)
    if tree is not None and re.match(r"__torch__[/.]", path):
        package = path.removesuffix(".py").replace("/", ".")
        yield from (f"{package}.{part.name}" for part in tree.body if isinstance(part, ast.ClassDef))


def scan_code(sources: Mapping[str, str], path: str, record: Record) -> None:
    """Check every name that the code of one archive uses.

    Args:
        sources: Member to its text, unverified.
        path: Of the archive, for findings.
        record: Where findings go.
    """
    trees = {name: _parsed(source) for name, source in sources.items()}
    parts = (part for tree in trees.values() if tree for part in ast.walk(tree))
    methods = {part.name for part in parts if isinstance(part, (ast.FunctionDef, ast.ClassDef))}
    for name, tree in trees.items():
        where = f"{path}!{shown(name)}"
        problems = ["no syntax that can be followed"] if tree is None else sorted(set(_problems(tree, methods)))
        problems += [f"the forbidden name {shown(found[0])!r}" for found in _FORBIDDEN.finditer(sources[name])][:10]
        for problem in problems:
            record.error(rules.UNSAFE_OPERATOR, f"TorchScript code with {problem}", where)
        record.looked(where)


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in hostile text are nobody's warning
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _problems(tree: ast.Module, methods: set[str]) -> Iterator[str]:
    inner: set[int] = set()  # `ast.walk` gives a chain's outermost part first
    names = {part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    names |= {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)} | methods
    for part in ast.walk(tree):
        if not isinstance(part, _SYNTAX):
            yield f"{type(part).__name__}, which torch does not write"
        elif isinstance(part, (ast.ClassDef, ast.FunctionDef)) and part.decorator_list:
            yield "a decorator"
        elif isinstance(part, ast.Name) and part.id in _ROOTS and id(part) not in inner:
            yield f"the bare name {part.id}"
        elif isinstance(part, ast.Attribute):
            if id(part) not in inner:
                yield from _attribute(part)
            inner.add(id(part.value))
        elif isinstance(part, ast.Call):
            yield from _call(part, names, methods)


def _chain(part: ast.AST) -> list[str]:
    """The names of a dotted chain, or nothing if it begins with anything but a name."""
    found: list[str] = []
    while isinstance(part, ast.Attribute):
        found.append(part.attr)
        part = part.value
    return [*([part.id] if isinstance(part, ast.Name) else ["?"]), *reversed(found)]


def _attribute(part: ast.Attribute) -> Iterator[str]:
    root, *rest = _chain(part)
    name = shown(".".join([root, *rest]), 100)
    if root == "torch" and not (len(rest) == 1 and rest[0] in ATEN):
        yield f"the operator {name}, which is none that only computes"
    elif root == "ops":
        space, operator = rest if len(rest) == 2 else ("", "")
        known = {"aten": ATEN, "prim": PRIM}.get(space, frozenset())
        if operator not in known and space not in COMPUTING_NAMESPACES:
            yield f"the operator {name}, which is none of torch's own that only compute"
    elif root == "__torch__" and rest[:2] == ["torch", "classes"] and not _CLASSES.match(".".join(rest)):
        yield f"the class {name} of some library"


def _call(part: ast.Call, names: set[str], methods: set[str]) -> Iterator[str]:
    function = part.func
    if isinstance(function, ast.Name):
        if function.id not in names | _BUILTINS:
            yield f"a call of {shown(function.id, 100)}, which is not in it"
    elif isinstance(function, ast.Attribute):
        root, *rest = _chain(function)
        # A method of a tensor is an operator of that name.
        if root not in _ROOTS and rest[-1] not in methods | ATEN:
            yield f"a call of the method {shown(rest[-1], 100)}"
    elif not isinstance(function, ast.Subscript):
        yield "a call of something that has no name"
