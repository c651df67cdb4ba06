"""Hostile GGUF files, made by hand, byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from tests.artifacts.corpus import CALL, Hostile, called, one, raw_zip, torch_entries
from tests.artifacts.corpus_templates import PAYLOADS

U8, I8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 1, 4, 6, 7, 8, 9, 10


class Writer:
    """Writes the numbers and texts of one version and byte order."""

    def __init__(self, *, version: int = 3, order: str = "<") -> None:
        self.version, self.order = version, order

    def u32(self, value: int) -> bytes:
        return struct.pack(self.order + "I", value)

    def u64(self, value: int) -> bytes:
        return struct.pack(self.order + "Q", value)

    def size(self, value: int) -> bytes:
        return self.u32(value) if self.version == 1 else self.u64(value)

    def text(self, value: bytes, *, length: int | None = None) -> bytes:
        return self.size(len(value) if length is None else length) + value

    def pair(self, key: str | bytes, kind: int, value: bytes) -> bytes:
        return self.text(key.encode() if isinstance(key, str) else key) + self.u32(kind) + value

    def strings(self, values: Sequence[bytes], *, count: int | None = None) -> bytes:
        head = self.u32(STRING) + self.size(len(values) if count is None else count)
        return head + b"".join(self.text(value) for value in values)

    def tensor(self, name: bytes, shape: Sequence[int], *, kind: int = 0, offset: int = 0) -> bytes:
        sizes = b"".join(self.size(size) for size in shape)
        return self.text(name) + self.u32(len(shape)) + sizes + self.u32(kind) + self.u64(offset)

    def file(
        self,
        pairs: Sequence[bytes] = (),
        tensors: Sequence[bytes] = (),
        data: bytes = b"",
        *,
        count: int | None = None,
        tensor_count: int | None = None,
        alignment: int = 32,
    ) -> bytes:
        head = b"GGUF" + self.u32(self.version)
        head += self.size(len(tensors) if tensor_count is None else tensor_count)
        head += self.size(len(pairs) if count is None else count)
        head += b"".join(pairs) + b"".join(tensors)
        return head + bytes(-len(head) % alignment) + data


W = Writer()
ARCHITECTURE = W.pair("general.architecture", STRING, W.text(b"llama"))
ONE = W.tensor(b"a", [8])
EIGHT = bytes(32)


def metadata() -> list[Hostile]:
    """Key-values that lie about sizes, types or counts."""
    bad = "malformed-gguf"
    nested = W.u32(STRING) + W.u64(0)
    for _ in range(12):
        nested = W.u32(ARRAY) + W.u64(1) + nested
    return [
        one("gguf-only-magic", b"GGUF", bad),
        one("gguf-version-0", b"GGUF" + bytes(20), bad),
        one("gguf-version-4", b"GGUF" + W.u32(4) + bytes(16), bad),
        one("gguf-big-endian-version-2", b"GGUF" + struct.pack(">I", 2) + bytes(16), bad),
        one("gguf-cut-off-header", b"GGUF" + W.u32(3) + bytes(9), bad),
        one("cve-2024-23605-gguf-key-value-count", W.file([ARCHITECTURE], count=(1 << 64) - 1), bad),
        one("cve-2024-21836-gguf-tensor-count", W.file([ARCHITECTURE], tensor_count=1 << 60), bad),
        one("cve-2024-23496-gguf-string-length", W.file([W.pair("a", STRING, W.u64((1 << 64) - 1))]), bad),
        one("cve-2024-21825-gguf-array-length",
            W.file([W.pair("a", ARRAY, W.u32(STRING) + W.u64((1 << 64) - 1))]), bad),
        one("gguf-array-of-numbers-length", W.file([W.pair("a", ARRAY, W.u32(U64) + W.u64(1 << 61))]), bad),
        one("gguf-key-length", W.file([W.u64(1 << 40) + b"a"]), bad),
        one("gguf-key-too-long", W.file([W.pair("a" * 65_536, BOOL, b"\x01")]), bad),
        one("gguf-key-empty", W.file([W.pair("", BOOL, b"\x01")]), bad),
        one("gguf-key-not-ascii", W.file([W.pair("größe", BOOL, b"\x01")]), bad),
        one("gguf-key-with-controls", W.file([W.pair(b"a\x1b[2J", BOOL, b"\x01")]), bad),
        one("gguf-key-twice", W.file([ARCHITECTURE, ARCHITECTURE]), bad),
        one("gguf-unknown-type", W.file([W.pair("a", 13, b"\x01" * 8)]), bad),
        one("gguf-array-of-unknown-type", W.file([W.pair("a", ARRAY, W.u32(99) + W.u64(1) + b"\x01" * 8)]), bad),
        one("gguf-boolean-of-2", W.file([W.pair("a", BOOL, b"\x02")]), bad),
        one("gguf-array-of-booleans-of-2", W.file([W.pair("a", ARRAY, W.u32(BOOL) + W.u64(2) + b"\x01\x02")]), bad),
        one("gguf-arrays-too-deep", W.file([W.pair("a", ARRAY, nested)])),
        one("gguf-alignment-0", W.file([W.pair("general.alignment", U32, W.u32(0))]), bad),
        one("gguf-alignment-24", W.file([W.pair("general.alignment", U32, W.u32(24))]), bad),
        one("gguf-alignment-huge", W.file([W.pair("general.alignment", U32, W.u32(1 << 31))]), bad),
        one("gguf-alignment-of-another-type", W.file([W.pair("general.alignment", U64, W.u64(64))]), bad),
        one("gguf-fewer-key-values-than-said", W.file([ARCHITECTURE], count=2), bad),
        one("gguf-more-key-values-than-said", W.file([ARCHITECTURE, W.pair("b", BOOL, b"\x01")], count=1), bad),
    ]  # fmt: skip


def tensors() -> list[Hostile]:
    """Tensor infos that do not describe the bytes behind them."""
    bad = "malformed-gguf"
    two = W.tensor(b"b", [8], offset=32)
    return [
        one("gguf-tensor-past-the-end", W.file([], [ONE], bytes(31)), bad),
        one("gguf-tensor-without-data", W.file([], [ONE]), bad),
        one("gguf-trailing-bytes", W.file([], [ONE], EIGHT + CALL), bad),
        one("gguf-trailing-pickle", W.file([], [ONE], EIGHT + called("os", "system")), bad),
        one("gguf-and-zip", W.file([], [ONE], EIGHT) + raw_zip(torch_entries()), bad),
        one("gguf-overlap", W.file([], [ONE, W.tensor(b"b", [8], offset=0)], EIGHT * 2), bad),
        one("gguf-gap", W.file([], [ONE, W.tensor(b"b", [8], offset=64)], EIGHT * 3), bad),
        one("gguf-first-tensor-late", W.file([], [W.tensor(b"a", [8], offset=32)], EIGHT * 2), bad),
        one("gguf-not-aligned", W.file([], [ONE, W.tensor(b"b", [8], offset=36)], EIGHT * 3), bad),
        one("gguf-padding-with-a-payload", W.file([], [W.tensor(b"a", [1]), two], b"\0" * 4 + b"x" * 28 + EIGHT), bad),
        one("gguf-padding-before-the-tensors", W.file([], [ONE], EIGHT)[:-64] + b"x" * 32 + EIGHT, bad),
        one("gguf-tensor-twice", W.file([], [ONE, W.tensor(b"a", [8], offset=32)], EIGHT * 2), bad),
        one("gguf-unknown-tensor-type", W.file([], [W.tensor(b"a", [8], kind=99)], EIGHT), bad),
        one("gguf-removed-tensor-type", W.file([], [W.tensor(b"a", [32], kind=4)], EIGHT), bad),
        one("gguf-negative-tensor-type", W.file([], [W.tensor(b"a", [8], kind=0xFFFFFFFF)], EIGHT), bad),
        one("cve-2024-21802-gguf-dimensions", W.file([], [W.tensor(b"a", [8, 1, 1, 1, 1])], EIGHT), bad),
        one("gguf-dimension-count-huge", W.file([], [W.text(b"a") + W.u32(0xFFFFFFFF) + bytes(40)], EIGHT), bad),
        one("cve-2025-53630-gguf-element-overflow", W.file([], [W.tensor(b"a", [1 << 33, 1 << 33])], EIGHT), bad),
        one("cve-2026-27940-gguf-size-overflow", W.file([], [W.tensor(b"a", [(1 << 62) - 8])], EIGHT), bad),
        one("gguf-offset-overflow", W.file([], [W.tensor(b"a", [8], offset=(1 << 64) - 32)], EIGHT), bad),
        one("gguf-half-a-block", W.file([], [W.tensor(b"a", [16], kind=2)], EIGHT), bad),
        one("gguf-name-too-long", W.file([], [W.tensor(b"a" * 200, [8])], EIGHT), bad),
        one("gguf-fewer-tensors-than-said", W.file([], [ONE], EIGHT, tensor_count=2), bad),
        one("gguf-pickle-behind-the-magic", b"GGUF" + called("os", "system"), bad),
    ]  # fmt: skip


def in_templates() -> list[Hostile]:
    """Chat templates in metadata, as CVE-2024-34359 and CVE-2026-5760 have them."""
    unsafe = "unsafe-template"
    subclasses, lipsum = (PAYLOADS[name].encode() for name in ("cve-2024-34359-subclasses", "cve-2026-5760-lipsum"))
    big, old = Writer(order=">"), Writer(version=1)
    key = "tokenizer.chat_template"
    return [
        one("cve-2024-34359-gguf", W.file([ARCHITECTURE, W.pair(key, STRING, W.text(subclasses))]), unsafe),
        one("cve-2026-5760-gguf", W.file([W.pair(key, STRING, W.text(lipsum))], [ONE], EIGHT), unsafe),
        one("gguf-named-template", W.file([W.pair(f"{key}.tool_use", STRING, W.text(lipsum))]), unsafe),
        one("gguf-templates-in-an-array", W.file([W.pair(key, ARRAY, W.strings([b"x", lipsum]))]), unsafe),
        one("gguf-template-big-endian", big.file([big.pair(key, STRING, big.text(lipsum))]), unsafe),
        one("gguf-template-version-1", old.file([old.pair(key, STRING, old.text(lipsum))]), unsafe),
        one("gguf-template-before-a-broken-tensor", W.file([W.pair(key, STRING, W.text(lipsum))], [ONE]), unsafe),
        one("gguf-template-that-is-no-utf-8", W.file([W.pair(key, STRING, W.text(b"\xff{{ x }}"))]), "malformed-gguf"),
        one("gguf-template-that-cannot-be-parsed", W.file([W.pair(key, STRING, W.text(b"{% exec %}"))])),
    ]  # fmt: skip


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (metadata, tensors, in_templates)
