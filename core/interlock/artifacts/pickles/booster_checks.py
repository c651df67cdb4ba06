"""States of XGBoost's and LightGBM's objects, which hold a whole model in the libraries' own formats.

The model goes to their compiled code, which trusts it, so it is judged as if it were a file: UBJSON by
`interlock.artifacts.formats.trees`, text by `interlock.artifacts.formats.lightgbm_file`. Versions: XGBoost 3.2
(``Booster.__setstate__``, ``XGBoosterUnserializeFromBuffer``), LightGBM 4.7 (``Booster.__setstate__``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.artifacts.formats.lightgbm_file import looks_like_lightgbm, scan_lightgbm
from interlock.artifacts.formats.trees import scan_xgboost_snapshot
from interlock.artifacts.pickles.contents import ContentError, bytes_of, needed_fields, text_of
from interlock.artifacts.pickles.kinds import Instance
from interlock.artifacts.record import Record


def _xgboost(booster: Instance, state: object, record: Record, path: str) -> None:
    fields = needed_fields(state)
    handle = fields.get("handle")
    if booster.built or "handle" not in fields:
        raise ContentError("is given no handle, or a second state")
    if handle is None:
        return
    raw = bytes_of(handle)
    if raw is None:
        raise ContentError("has a model whose bytes nobody can tell")
    scan_xgboost_snapshot(raw, path=path, record=record)


def _lightgbm(booster: Instance, state: object, record: Record, path: str) -> None:
    fields = needed_fields(state)
    if booster.built:
        raise ContentError("is given a second state")
    # The library takes `_handle` if there is one; version 3 wrote `handle`.
    for name in ("_handle", "handle"):
        model = fields.get(name)
        if model is None:
            continue
        text = text_of(model)
        if text is None or not looks_like_lightgbm(text):
            raise ContentError("has a model that is no text of LightGBM, or one that nobody can tell")
        scan_lightgbm(text, path=path, record=record)


MODELS: Final[Mapping[str, Callable[[Instance, object, Record, str], None]]] = {
    "xgboost-booster": _xgboost,
    "lightgbm-booster": _lightgbm,
}
