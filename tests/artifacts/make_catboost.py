# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportMissingImports=false
"""Saves the models of ``catboost.zip`` with the real CatBoost: ``python make_catboost.py OUT.zip``.

CatBoost is no dependency of the tests, so this ran once, with catboost 1.2.10, numpy 2.4.6 and pandas 3.1.1 under
CPython 3.11.7; the zip holds what it wrote. Nothing in it was changed.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor, Pool

OPTIONS = {"iterations": 4, "depth": 2, "verbose": False, "allow_writing_files": False, "random_seed": 0,
           "thread_count": 1}  # fmt: skip
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def pools():
    """Training data with categories, texts and embeddings."""
    letters = {name: RANDOM.choice(list(of), 60) for name, of in (("c", "abcdefgh"), ("d", "xy"), ("e", "pqrstuv"))}
    words = ["good thing yes", "bad thing no", "fine ok yes", "awful no no"]
    yield "categories", Pool(pd.DataFrame({"a": X[:, 0], **letters}), Y, cat_features=["c", "d", "e"])
    yield "text", Pool(pd.DataFrame({"t": RANDOM.choice(words, 60), "a": X[:, 0]}), Y, text_features=["t"])
    vectors = list(RANDOM.normal(size=(60, 3)).astype("f4"))
    yield "embedding", Pool(pd.DataFrame({"v": vectors, "a": X[:, 0]}), Y, embedding_features=["v"])


def models():
    """Every model by name, and what its categories are named by in JSON."""
    yield "plain", CatBoostClassifier(**OPTIONS).fit(X, Y), None
    thirds = np.digitize(X[:, 0], [-0.5, 0.5])
    yield "classes", CatBoostClassifier(loss_function="MultiClass", **OPTIONS).fit(X, thirds), None
    yield "depthwise", CatBoostRegressor(grow_policy="Depthwise", **OPTIONS).fit(X, X[:, 0]), None
    yield "lossguide", CatBoostRegressor(grow_policy="Lossguide", **OPTIONS | {"depth": 4}).fit(X, X[:, 0]), None
    missing = X.copy()
    missing[::5, 0] = np.nan
    yield "missing", CatBoostRegressor(**OPTIONS).fit(missing, X[:, 1]), None
    for name, pool in pools():
        more = {"one_hot_max_size": 2, "max_ctr_complexity": 2, "iterations": 8} if name == "categories" else {}
        yield name, CatBoostClassifier(**OPTIONS | more).fit(pool), pool
    pool = next(pools())[1]
    kinds = ["Buckets:TargetBorderCount=1", "BinarizedTargetMeanValue", "Counter"]
    yield "tables", CatBoostClassifier(simple_ctr=kinds, combinations_ctr=kinds, **OPTIONS).fit(pool), pool


def main(out: str) -> None:
    """Save all of them, as JSON too where CatBoost can."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, model, pool in models():
            for form in ("cbm",) if name in ("text", "embedding") else ("cbm", "json"):
                path = Path(folder, f"{name}.{form}")
                model.save_model(path, format=form, **({"pool": pool} if form == "json" and pool else {}))
                archive.write(path, path.name)


if __name__ == "__main__":
    main(sys.argv[1])
