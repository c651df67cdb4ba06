"""Pickles of scikit-learn, pandas, XGBoost and LightGBM, really saved by them, each with the profile it has to pass."""

from __future__ import annotations

import datetime
import decimal
import io
import pickle
import tempfile
import warnings
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pandas as pd

PROTOCOLS = (2, 3, 4, 5)
Cases = dict[str, tuple[bytes, str]]

ARRAY: Any = pd.array
X = np.abs(np.random.default_rng(0).random((40, 4)))
Y = np.arange(40) % 2


def dumped(value: object, **options: Any) -> bytes:
    """What `joblib.dump` writes."""
    out = io.BytesIO()
    joblib.dump(value, out, **options)
    return out.getvalue()


def composed() -> dict[str, Any]:
    """Models of several parts."""
    from sklearn import (  # type: ignore[import-untyped]  # no stubs
        compose,
        ensemble,
        feature_selection,
        linear_model,
        model_selection,
        neighbors,
        pipeline,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # no stubs
    from sklearn.utils import Bunch  # type: ignore[import-untyped]  # no stubs

    logistic = linear_model.LogisticRegression(random_state=np.random.RandomState(3))
    columns = compose.ColumnTransformer(
        [("scaled", preprocessing.StandardScaler(), [0, 1]), ("kinds", preprocessing.OneHotEncoder(), [2])]
    )
    steps = pipeline.make_pipeline(columns, feature_selection.SelectKBest(k=2), logistic)
    histogram: Any = ensemble.HistGradientBoostingClassifier
    kinds = np.column_stack([X[:, :2], np.arange(40) % 3])
    grid = model_selection.GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, None]}, cv=2, scoring="f1")
    texts = pipeline.make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), svm.LinearSVC())
    return {
        "pipeline": steps.fit(kinds, Y),
        "grid-search": grid.fit(X, Y),
        "text": texts.fit(["a fine day", "a bad day"] * 3, [0, 1] * 3),
        "forest": ensemble.RandomForestClassifier(5, random_state=0).fit(X, Y),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, np.arange(40) % 3),
        "histogram-boosting": histogram(max_iter=3, categorical_features=[2], min_samples_leaf=2).fit(kinds, Y),
        "neighbours": neighbors.KNeighborsClassifier(algorithm="kd_tree", metric="minkowski", p=3).fit(X, Y),
        "ball-tree": neighbors.BallTree(X, metric="seuclidean", V=np.ones(4)),
        "kernel-density": neighbors.KernelDensity().fit(X),
        "voting": ensemble.VotingClassifier([("t", tree.DecisionTreeClassifier()), ("l", logistic)]).fit(X, Y),
        "bunch": Bunch(model=tree.ExtraTreeRegressor().fit(X, Y), names=["a", "b"]),
        "outputs": tree.DecisionTreeClassifier(max_depth=2).fit(X, np.column_stack([Y, np.arange(40) % 3])),
        "one-class": ensemble.IsolationForest(n_estimators=3, random_state=np.random.RandomState(1)).fit(X),
    }


def matrices() -> dict[str, Any]:
    """What models hold beside numpy's arrays."""
    import scipy.sparse as sp  # type: ignore[import-untyped]  # no stubs

    dense = np.eye(5)[:, :4]
    kinds = {form: getattr(sp, form)(dense) for form in ("csr_matrix", "csc_matrix", "coo_matrix", "csr_array")}
    generators = {
        f"random-{name}": np.random.Generator(getattr(np.random, name)(7))
        for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
    }
    return {
        **{form.replace("_", "-"): matrix for form, matrix in kinds.items()},
        **generators,
        "random-state": np.random.RandomState(5),
        "empty-csr": sp.csr_matrix((0, 3)),
        "masked": np.ma.MaskedArray([1.0, 2.0], mask=[True, False]),
        "masked-objects": np.ma.MaskedArray(np.array([1, None], object), mask=[False, True]),
    }


def frames() -> dict[str, Any]:
    """Frames, series and indices of every type of column that has a rule."""
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    days = pd.date_range("2026-01-01", periods=3, freq="D")
    columns: dict[str, Any] = {
        "whole": [1, 2, 3], "half": [1.0, 2.0, np.nan], "more": [4, 5, 6], "text": ["x", "ü", None],
        "old-text": pd.Series(["x", None, 1], dtype=object), "kind": pd.Categorical(["a", "b", None]), "day": days,
        "zone": days.tz_localize(berlin), "utc": days.tz_localize("UTC"), "nullable": ARRAY([1, None, 2], "Int64"),
        "truth": ARRAY([True, None, False], "boolean"), "single": ARRAY([1.0, None, 2.0], "Float32"),
        "month": pd.period_range("2026", periods=3, freq="M"), "span": pd.interval_range(0, 3),
        "delta": pd.to_timedelta([1, 2, 3], "D"), "python": ARRAY(["a", None, "b"], dtype="string[python]"),
        "arrow": ARRAY(["a", None, "b"], dtype="string[pyarrow]"),
        "arrow-number": ARRAY([1, None, 2], dtype="int16[pyarrow]"),
        "arrow-time": ARRAY(days, dtype="timestamp[us][pyarrow]"), "flag": [True, False, True],
    }  # fmt: skip
    values = [pd.Timestamp("2026", tz=berlin), pd.Timedelta(1), pd.Period("2026"), pd.Interval(0, 1), pd.NaT, pd.NA,
              pd.offsets.MonthEnd(), pd.offsets.BDay(2), datetime.date(2026, 1, 1), decimal.Decimal("1.5"),
              datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.time(1), {"k": [1]}, b"x"]  # fmt: skip
    several = pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")], names=["n", None])
    return {
        "frame": pd.DataFrame(columns),
        "plain": pd.DataFrame({"a": range(300), "b": np.random.default_rng(0).random(300)}),
        "empty": pd.DataFrame(),
        "indexed": pd.DataFrame({"a": [1, 2, 3]}, index=several),
        "by-kind": pd.DataFrame({"a": [1]}, index=pd.CategoricalIndex(["a"])),
        "wide": pd.DataFrame(np.zeros((2, 200)), columns=[f"c{number}" for number in range(200)]),
        "mixed-blocks": pd.DataFrame({f"c{number}": [number * (1.0 if number % 2 else 1)] for number in range(9)}),
        "series": pd.Series([1, 2, 3], index=days, name="größe"),
        "objects": pd.Series(values, dtype=object),
        "by-zone": pd.Series([1, 2, 3], index=days.tz_localize("UTC")),
        "index": pd.Index(["a", None], dtype=object),
        "periods": pd.period_range("2026", periods=3, freq="Q"),
        "spans": pd.interval_range(0, 3, closed="left"),
        "deltas": pd.timedelta_range("1D", periods=3),
        "range": pd.RangeIndex(3, 9, 2),
        "dateutil": pd.Timestamp("2026", tz="dateutil/Europe/Berlin"),
        "attributes": _noted(),
    }


def _noted() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = {"table": "t", "rows": [1, 2]}
    return frame


def boosters() -> Iterator[tuple[str, Any, str]]:
    """Name, model, profile."""
    import lightgbm
    import xgboost
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]  # no stubs
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]  # no stubs

    common: dict[str, Any] = {"n_estimators": 3, "n_jobs": 1, "max_depth": 2}
    classifier = xgboost.XGBClassifier(**common).fit(X, np.arange(40) % 3)
    yield "xgboost-classifier", classifier, "xgboost"
    yield "xgboost-regressor", xgboost.XGBRegressor(booster="gblinear", n_estimators=2, n_jobs=1).fit(X, Y), "xgboost"
    yield "xgboost-ranker", xgboost.XGBRanker(**common).fit(X, Y, group=[40]), "xgboost"
    yield "xgboost-booster", classifier.get_booster(), "xgboost"
    yield "xgboost-unfitted", xgboost.XGBRFClassifier(), "xgboost"
    yield "xgboost-pipeline", make_pipeline(StandardScaler(), xgboost.XGBClassifier(**common)).fit(X, Y), "xgboost"
    light: dict[str, Any] = {**common, "verbose": -1, "min_child_samples": 2}
    fitted = lightgbm.LGBMClassifier(**light).fit(X, Y)
    yield "lightgbm-classifier", fitted, "lightgbm"
    yield "lightgbm-regressor", lightgbm.LGBMRegressor(**light).fit(X, Y, eval_set=[(X, Y)]), "lightgbm"
    yield "lightgbm-booster", fitted.booster_, "lightgbm"
    yield "lightgbm-frame", lightgbm.LGBMClassifier(**light).fit(pd.DataFrame(X, columns=list("abcd")), Y), "lightgbm"


def _compressed(frame: pd.DataFrame) -> Cases:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in ("gzip", "bz2", "xz", "zstd", "zip", "tar"):
            path = Path(folder) / form
            frame.to_pickle(path, compression=form)
            found[f"pandas-{form}"] = (path.read_bytes(), "pandas")
    return found


def harmless_profiles() -> Cases:
    """Every pickle by name, with its profile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = {**composed(), **matrices()}
        found: Cases = {
            f"sklearn-{name}-{protocol}": (pickle.dumps(model, protocol), "sklearn")
            for name, model in models.items()
            for protocol in PROTOCOLS
        }
        for name, model in models.items():
            found[f"sklearn-{name}-joblib"] = (dumped(model), "sklearn")
        for form in ("zlib", "gzip", "bz2", "xz", "lzma", "lz4"):
            found[f"sklearn-pipeline-{form}"] = (dumped(models["pipeline"], compress=(form, 1)), "sklearn")
        for name, model, profile in boosters():
            found |= {f"{name}-{protocol}": (pickle.dumps(model, protocol), profile) for protocol in PROTOCOLS}
            found[f"{name}-joblib"] = (dumped(model), profile)
        held = frames()
        for name, frame in held.items():
            found |= {f"pandas-{name}-{protocol}": (pickle.dumps(frame, protocol), "pandas") for protocol in PROTOCOLS}
            found[f"pandas-{name}-joblib"] = (dumped(frame), "pandas")
        return found | _compressed(held["frame"])
