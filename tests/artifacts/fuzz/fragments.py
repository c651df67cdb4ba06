"""Pieces of pickles that a mutation puts anywhere: opcodes, names that act, and beginnings of what profiles allow."""

from __future__ import annotations

from tests.artifacts.corpus import ODICT, SYSTEM, global_, stack_global, text

DTYPE = global_("numpy", "dtype") + b"U\x02f8\x89\x88\x87R"
FRAGMENTS = (
    b"(", b")", b"]", b"}", b"\x8f", b"N", b"\x88", b"K\x01", b"I1\n", b"I01\n", b"U\x02os", b"C\x01b", b"0", b"1",
    b"2", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"R", b"b", b"o", b"\x81", b"\x92", b"\x93", b"a", b"e", b"s",
    b"u", b"\x90", b"\x91", b"\x94", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"p0\n", b"g0\n", b"r\x02\0\0\0",
    b"j\x02\0\0\0", b"Q", b"P1\n", b".", b"\x80\x02", b"\x80\x04", b"\x95\x02\0\0\0\0\0\0\0", b"\x82\x01",
    b"\x96\x01\0\0\0\0\0\0\0x",
    b"\x97", b"\x98", b"S'os'\n", b"Vsystem\n", b"L1L\n", b"F1.5\n", b"\x8a\x01\x05", b"ios\nsystem\n", SYSTEM, ODICT,
    DTYPE, text("os"), text("system"), text("collections"), text("OrderedDict"), global_("collections", "OrderedDict"),
    global_("_codecs", "encode"), global_("torch._utils", "_rebuild_tensor_v2"), global_("__builtin__", "set"),
    SYSTEM + b")R", SYSTEM + b"U\x02id\x85R",
    stack_global("os", "system") + b"K\x01\x85R",
    b"(" + SYSTEM + b"No",
    global_("os", "system") + b")\x81", b"}" + SYSTEM + b"b", stack_global("argparse", "Namespace"),
    stack_global("builtins", "eval"),
    global_("numpy._core.multiarray", "_reconstruct") + global_("numpy", "ndarray"),
    global_("sklearn.svm._classes", "SVC") + b")\x81", global_("builtins", "getattr"), global_("builtins", "slice"),
    global_("functools", "partial") + global_("sklearn.utils.validation", "check_array") + b"\x85R",
    global_("pandas.core.indexes.base", "_new_Index") + global_("pandas", "Index"), global_("numpy", "mean"),
)  # fmt: skip
