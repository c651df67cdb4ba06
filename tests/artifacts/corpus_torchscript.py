"""TorchScript: archives that torch really saved, and the same with code or pickles that no module of theirs wrote."""

from __future__ import annotations

import functools
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping

import torch
from tests.artifacts.corpus import Entry, called, raw_zip
from tests.artifacts.harmless import Harmless, one
from torch import Tensor


class Small(torch.nn.Module):
    """A loop, a condition, containers, an assertion and a text."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)
        self.norm = torch.nn.BatchNorm2d(2)
        self.rest = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.MaxPool2d(2))
        self.names = {"a": 1}

    def forward(self, x: Tensor, times: int = 2) -> tuple[Tensor, dict[str, int], list[float]]:
        """Whatever TorchScript can say."""
        assert times >= 0, "a bad count"
        parts: list[Tensor] = []
        for i in range(times):
            y = self.rest(self.norm(self.conv(x)))
            if i > 1 and y.numel() > 3:
                y = y + 1
            parts.append(y)
        while times > 3:
            times -= 1
        found = {"b": times}
        return torch.cat(parts).flatten(1), found, [float(value) for value in [1.0, 2.0]]


class Recurrent(torch.nn.Module):
    """Layers with lists of parameters, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """One step of each."""
        y, _ = self.lstm(x)
        seen: Tensor = self.attention(y, y, y)[0]
        return seen * torch.tensor([1.0, 2.0, 3.0, 4.0])


def _saved(module: torch.jit.ScriptModule) -> bytes:
    out = io.BytesIO()
    torch.jit.save(module, out)
    return out.getvalue()


@functools.cache
def really_saved() -> Mapping[str, bytes]:
    """What ``torch.jit.save`` writes of scripted, traced and frozen modules."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = torch.jit.script(Small().eval())
        example = torch.zeros(1, 2, 3)
        traced = torch.jit.trace(Recurrent().eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        return {
            "scripted": _saved(plain),
            "frozen": _saved(torch.jit.freeze(plain)),
            "recurrent": _saved(torch.jit.script(Recurrent().eval())),
            "traced": _saved(traced),
        }


def exported() -> bytes:
    """What ``torch.export.save`` writes."""
    torch.manual_seed(0)  # bytes of weights that begin as a pickle by chance would be refused
    out = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), out)
    return out.getvalue()


def harmless_torchscript() -> dict[str, Harmless]:
    """Every harmless archive by name."""
    return {f"torchscript-{name}": one("torchscript", data, "torchscript") for name, data in really_saved().items()}


def changed(archive: bytes, change: Callable[[str, bytes], bytes], more: Mapping[str, bytes] | None = None) -> bytes:
    """The same archive with other contents of its members, checksums right, and more members."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        contents = {name: change(name, opened.read(name)) for name in opened.namelist()}
    root = next(iter(contents)).split("/")[0]
    contents |= {f"{root}/{name}": data for name, data in (more or {}).items()}
    return raw_zip([Entry(name=name, data=data) for name, data in contents.items()])


STATEMENTS: Mapping[str, str] = {
    "save": "torch.save([x], '/tmp/x')",
    "save-as-a-method": "(x).save('/tmp/x')",
    "from-file": "y = torch.from_file('/etc/passwd', False, 10, dtype=None)",
    "save-by-another-name": "f = torch.save",
    "save-by-operator-name": "ops.aten.save([x], '/tmp/x')",
    "profiler": "ops.profiler._record_function_enter('x', None)",
    "python-operator": "ops.prim.PythonOp(x)",
    "remote-call": "ops.prim.rpc_sync('w', x)",
    "distributed": "ops.c10d.send([x], 0)",
    "custom-operator": "ops.evil.run(x)",
    "custom-class": "c = __torch__.torch.classes.evil.Runner()",
    "bare-torch": "t = torch",
    "bare-operators": "f(ops)",
    "unknown-function": "eval('1')",
    "import": "import os",
    "lambda": "f = lambda: x",
    "with": "with x: pass",
    "in-a-text": "print('it is x.save(1)')",
}


def hostile_archives() -> dict[str, bytes]:
    """Archives that the profile for TorchScript may not let pass."""
    plain = really_saved()["scripted"]

    def with_statement(line: str) -> Callable[[str, bytes], bytes]:
        def change(name: str, data: bytes) -> bytes:
            if not name.endswith("code/__torch__/torch/nn/functional.py"):
                return data
            return data + f"def evil(x: Tensor) -> NoneType:\n  {line}\n  return None\n".encode()

        return change

    def same(_: str, data: bytes) -> bytes:
        return data

    def main_pickle(_: str, data: bytes) -> bytes:
        return called("os", "system") if _.endswith("/data.pkl") else data

    def debug_pickle(name: str, data: bytes) -> bytes:
        return called("os", "system") if name.endswith("functional.py.debug_pkl") else data

    def constants(name: str, data: bytes) -> bytes:
        return called("os", "system") if name.endswith("/constants.pkl") else data

    own_class = b"class system(Module):\n  __parameters__ = []\n"
    cases = {f"code-{name}": changed(plain, with_statement(line)) for name, line in STATEMENTS.items()}
    return {
        **cases,
        "main-pickle": changed(plain, main_pickle),
        "debug-pickle": changed(plain, debug_pickle),
        "constants-pickle": changed(plain, constants),
        "second-pickle": changed(plain, same, {"extra/more.bin": called("os", "system")}),
        "class-outside-of-its-package": changed(plain, main_pickle, {"code/os.py": own_class}),
        "bytecode": changed(plain, same, {"bytecode.pkl": b"\x80\x02)."}),
        "code-no-syntax": changed(plain, same, {"code/__torch__/x.py": b"def f(:\n"}),
        "code-deep": changed(plain, same, {"code/__torch__/x.py": b"x = " + b"-" * 50_000 + b"1\n"}),
        "code-large": changed(plain, same, {"code/__torch__/x.py": b"#" * (5 << 20)}),
        "program-inside": changed(plain, same, {"extra/lib.so": b"\x7fELF" + bytes(60)}),
    }
