"""Harmless models really saved by XGBoost and LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np


def harmless_trees() -> dict[str, tuple[bytes, str]]:
    """Every harmless model by name, and its format."""
    return {**_xgboost(), **_lightgbm()}


def _data() -> tuple[Any, Any, Any]:
    import pandas as pd

    random = np.random.default_rng(0)
    features = random.random((200, 4))
    labels = (features[:, 0] + random.random(200) > 1).astype(int)
    kinds = pd.Categorical(random.choice(list("abcdefgh"), 200))
    return features, labels, pd.DataFrame({"kind": kinds, "x": features[:, 0]})


def _xgboost() -> dict[str, tuple[bytes, str]]:
    import xgboost

    features, labels, frame = _data()
    plain = xgboost.DMatrix(features, labels, feature_names=["a", "b", "größe", "d"])
    kinds = xgboost.DMatrix(frame, frame.kind.cat.codes.to_numpy(), enable_categorical=True)
    classes = xgboost.DMatrix(features, np.arange(200) % 3)
    common = {"nthread": 1, "max_depth": 3}
    models = {
        "binary": xgboost.train({**common, "objective": "binary:logistic"}, plain, 3),
        "linear": xgboost.train({"nthread": 1, "booster": "gblinear"}, plain, 2),
        "dart": xgboost.train({**common, "booster": "dart", "objective": "multi:softprob", "num_class": 3}, classes, 2),
        "categories": xgboost.train({**common, "max_cat_to_onehot": 1}, kinds, 3),
        "pruned": xgboost.train({**common, "gamma": 5, "tree_method": "exact", "max_depth": 6}, plain, 3),
    }
    return {
        f"xgboost-{name}-{form}": (bytes(model.save_raw(form)), "xgboost")
        for name, model in models.items()
        for form in ("json", "ubj")
    }


def _lightgbm() -> dict[str, tuple[bytes, str]]:
    import lightgbm

    features, labels, frame = _data()
    common = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    settings: dict[str, dict[str, object]] = {
        "binary": {"objective": "binary"},
        "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        "classes": {"objective": "multiclass", "num_class": 3},
        "dart": {"boosting": "dart"},
        "one-leaf": {"min_gain_to_split": 1e9},
        "categories": {"min_data_per_group": 1},
    }
    found = {}
    for name, more in settings.items():
        wanted = np.arange(200) % 3 if name == "classes" else labels
        data = lightgbm.Dataset(frame if name == "categories" else features, wanted)
        found[f"lightgbm-{name}"] = (
            lightgbm.train({**common, **more}, data, 3).model_to_string().encode(),
            "lightgbm",
        )
    return found
