"""What pickles of XGBoost's and LightGBM's estimators may name, beyond what those of scikit-learn may."""

from __future__ import annotations

from typing import Final

from interlock.artifacts.pickles.rules import GlobalRule


def _estimators(module: str, *names: str) -> tuple[GlobalRule, ...]:
    return tuple(
        GlobalRule(module=module, name=name, kind="type", new=((),), result="sklearn-object", build="sklearn-object")
        for name in names
    )


def _booster(module: str, build: str) -> GlobalRule:
    return GlobalRule(module=module, name="Booster", kind="type", new=((),), result="booster", build=build)


XGBOOST: Final = (
    *_estimators(
        "xgboost.sklearn", "XGBClassifier", "XGBModel", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor", "XGBRegressor"
    ),
    _booster("xgboost.core", "xgboost-booster"),
)
"""Rules for ``xgboost``. Callbacks have none: they are objects whose methods `fit` calls."""

LIGHTGBM: Final = (
    *_estimators("lightgbm.sklearn", "LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor"),
    _booster("lightgbm.basic", "lightgbm-booster"),
    # What its sklearn wrapper keeps scores in; an empty one is made of the type that it makes missing items of.
    GlobalRule(
        module="collections",
        name="defaultdict",
        kind="type",
        calls=((), ("plain-type",), ("none",), ("ordered-dict-type",)),
        result="defaultdict",
        items=True,
    ),
    GlobalRule(
        module="collections",
        name="OrderedDict",
        kind="ordered-dict-type",
        calls=((), ("list",)),
        result="ordered-dict",
        build="module-metadata",
        items=True,
    ),
)
"""Rules for ``lightgbm``."""
