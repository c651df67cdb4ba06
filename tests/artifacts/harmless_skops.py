"""Harmless files really saved by skops out of scikit-learn, and those that skops asks a person about."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from tests.artifacts.harmless import Harmless, one


def _data() -> tuple[Any, Any]:
    features = np.random.default_rng(0).random((30, 4))
    return features, (features[:, 0] > 0.5).astype(int)


def _values() -> dict[str, object]:
    return {
        "plain": [1, 2.5, None, True, "größe"], "tuple": (1, 2), "set": {1, 2}, "array": np.arange(3),
        "scalar": np.float32(1), "generator": np.random.default_rng(0), "slice": slice(1, 2),
        "objects": np.array([1, "a", None], dtype=object), "masked": np.ma.array([1, 2], mask=[False, True]),
        "bytes": b"ab", "type": np.float32, "state": np.random.RandomState(0),
    }  # fmt: skip


def harmless_skops() -> dict[str, Harmless]:
    """Every harmless subject of skops by name."""
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]  # no stubs
    from sklearn.compose import ColumnTransformer  # type: ignore[import-untyped]  # no stubs
    from sklearn.decomposition import PCA  # type: ignore[import-untyped]  # no stubs
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # no stubs
    from sklearn.linear_model import LogisticRegression, RidgeCV, SGDClassifier  # type: ignore[import-untyped]  # no stubs
    from sklearn.naive_bayes import GaussianNB  # type: ignore[import-untyped]  # no stubs
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]  # no stubs
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # type: ignore[import-untyped]  # no stubs
    from sklearn.svm import SVC  # type: ignore[import-untyped]  # no stubs
    from skops.io import dumps  # type: ignore[import-untyped]  # no stubs

    features, labels = _data()
    models: dict[str, Any] = {
        "logistic": LogisticRegression(),
        "pipeline": make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
        "kmeans": KMeans(2, random_state=0),
        "svc": SVC(),
        "pca": PCA(2),
        "bayes": GaussianNB(),
        "ridge": RidgeCV(),
        "function": make_pipeline(FunctionTransformer(np.sqrt), RidgeCV()),
        "one-hot": OneHotEncoder(handle_unknown="ignore"),
        "columns": ColumnTransformer([("a", StandardScaler(), [0, 1])], remainder="passthrough"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {name: dumps(model.fit(features, labels)) for name, model in models.items()}
        saved["words"] = dumps(TfidfVectorizer().fit(["one two", "two three"]))
        saved["values"] = dumps(_values())
        saved["compressed"] = dumps(models["logistic"], compression=8)
    return {f"skops-{name}": one("torch-state-dict", content, "skops") for name, content in saved.items()}


def asked_about() -> dict[str, bytes]:
    """What skops loads only once a person has named the types in it."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier  # type: ignore[import-untyped]  # no stubs
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]  # no stubs
    from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]  # no stubs
    from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]  # no stubs
    from skops.io import dumps

    features, labels = _data()
    models = (
        RandomForestClassifier(2, random_state=0), HistGradientBoostingClassifier(max_iter=1), KNeighborsClassifier(),
        MLPClassifier((2,), max_iter=2), GaussianProcessRegressor(),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {type(model).__name__: dumps(model.fit(features, labels)) for model in models}
