"""What a pickle of pandas may name: frames, series, indices, their arrays, dtypes, times and time zones.

pandas 3 names its public classes by ``pandas``, pandas 2 by the module that defines them; both are here. Functions
that pandas would call, and classes that open something when they are made, are not.
"""

from __future__ import annotations

from typing import Final

from interlock.artifacts.pickles.rules import GlobalRule

_INDICES: Final = {"Index": "base", "RangeIndex": "range", "MultiIndex": "multi", "DatetimeIndex": "datetimes",
                   "TimedeltaIndex": "timedeltas", "PeriodIndex": "period", "CategoricalIndex": "category",
                   "IntervalIndex": "interval"}  # fmt: skip
_MASKED: Final = {"IntegerArray": "integer", "FloatingArray": "floating", "BooleanArray": "boolean",
                  "ArrowStringArray": "string_arrow", "ArrowExtensionArray": "arrow.array"}  # fmt: skip
_BACKED: Final = {"Categorical": "categorical", "DatetimeArray": "datetimes", "TimedeltaArray": "timedeltas",
                  "PeriodArray": "period", "StringArray": "string_"}  # fmt: skip
_DTYPES: Final = {
    **{f"{kind}{bits}Dtype": "integer" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)},
    "Float32Dtype": "floating", "Float64Dtype": "floating", "BooleanDtype": "boolean",
}  # fmt: skip
_OFFSETS: Final = (
    "BusinessDay", "BusinessMonthBegin", "BusinessMonthEnd", "BHalfYearBegin", "BHalfYearEnd", "BQuarterBegin",
    "BQuarterEnd", "BYearBegin", "BYearEnd", "Day", "Easter", "HalfYearBegin", "HalfYearEnd", "Hour",
    "LastWeekOfMonth", "Micro", "Milli", "Minute", "MonthBegin", "MonthEnd", "Nano", "QuarterBegin", "QuarterEnd",
    "Second", "SemiMonthBegin", "SemiMonthEnd", "Week", "WeekOfMonth", "YearBegin", "YearEnd",
)  # fmt: skip


def _named(name: str, *modules: str, kind: str = "type", **rule: object) -> tuple[GlobalRule, ...]:
    return tuple(GlobalRule(module=module, name=name, kind=kind, **rule) for module in modules)  # type: ignore[arg-type]  # the keywords are a rule's fields


def _call(module: str, name: str, result: str, *calls: tuple[str, ...], build: str = "") -> GlobalRule:
    return GlobalRule(module=module, name=name, calls=calls, result=result, build=build)


def _made(
    name: str, result: str, build: str, *modules: str, calls: tuple[tuple[str, ...], ...] = ()
) -> tuple[GlobalRule, ...]:
    return _named(name, *modules, new=((),), calls=calls, result=result, build=build)


SLICE: Final = _call("builtins", "slice", "slice", ("int-or-none", "int-or-none", "int-or-none"))
_FRAMES: Final = (
    *_made("DataFrame", "pandas-frame", "pandas-frame", "pandas", "pandas.core.frame"),
    *_made("Series", "pandas-frame", "pandas-frame", "pandas", "pandas.core.series"),
    _call("pandas.core.internals.managers", "BlockManager", "pandas-manager", ("tuple", "list")),
    *_made("SingleBlockManager", "pandas-single-manager", "pandas-single-manager", "pandas.core.internals.managers"),
    _call("pandas._libs.internals", "_unpickle_block", "pandas-block", ("any", "any", "one-or-two")),
    SLICE,
    *(
        rule
        for name, module in _INDICES.items()
        for rule in _named(name, "pandas", f"pandas.core.indexes.{module}", kind="pandas-index-type")
    ),
    _call("pandas.core.indexes.base", "_new_Index", "pandas-index", ("pandas-index-type", "dict")),
    _call("pandas.core.indexes.datetimes", "_new_DatetimeIndex", "pandas-index", ("pandas-index-type", "dict")),
    _call("pandas.core.indexes.timedeltas", "_new_TimedeltaIndex", "pandas-index", ("pandas-index-type", "dict")),
    _call("pandas.core.indexes.interval", "_new_IntervalIndex", "pandas-index", ("pandas-index-type", "dict")),
)

_ARRAYS: Final = (
    *(
        rule
        for name, module in _MASKED.items()
        for rule in _made(name, "pandas-array", "pandas-masked", "pandas.arrays", f"pandas.core.arrays.{module}")
    ),
    *(
        rule
        for name, module in _BACKED.items()
        for rule in _named(name, "pandas", "pandas.arrays", f"pandas.core.arrays.{module}", kind="pandas-backed-type")
    ),
    _call(
        "pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked", "pandas-array", ("pandas-backed-type", "size", "none"),
        build="pandas-backed",
    ),
    *_named("IntervalArray", "pandas.arrays", "pandas.core.arrays.interval", kind="pandas-intervals-type"),
    _call(
        "pandas._libs.interval", "__pyx_unpickle_IntervalMixin", "pandas-array",
        ("pandas-intervals-type", "size", "none"), build="pandas-intervals",
    ),
)  # fmt: skip

_TYPES: Final = (
    *(
        rule
        for name, module in _DTYPES.items()
        for rule in _made(name, "pandas-dtype", "pandas-dtype", "pandas", f"pandas.core.arrays.{module}", calls=((),))
    ),
    *(
        rule
        for name in ("CategoricalDtype", "DatetimeTZDtype", "IntervalDtype")
        for rule in _made(name, "pandas-dtype", "pandas-dtype", "pandas", "pandas.core.dtypes.dtypes")
    ),
    *_made(
        "PeriodDtype", "pandas-dtype", "pandas-dtype", "pandas", "pandas.core.dtypes.dtypes", calls=(("short-text",),)
    ),
    *_made(
        "StringDtype", "pandas-dtype", "pandas-dtype", "pandas", "pandas.core.arrays.string_",
        calls=(("string-storage", "missing?"),),
    ),
    *_made("ArrowDtype", "pandas-dtype", "pandas-dtype", "pandas", "pandas.core.dtypes.dtypes"),
    *_named("NA", "pandas", "pandas._libs.missing", kind="missing"),
)  # fmt: skip

_ARROW: Final = (
    _call("pyarrow.lib", "_restore_array", "arrow-array", ("tuple",)),
    _call("pyarrow.lib", "type_for_alias", "arrow-type", ("arrow-type-name",)),
    _call("pyarrow.lib", "timestamp", "arrow-type", ("short-text", "short-text-or-none?")),
    _call("pyarrow.lib", "py_buffer", "arrow-buffer", ("buffer",)),
)

_TIMES: Final = (
    *(
        _call("pandas._libs.tslibs.offsets", name, "offset", ("int", *("offset-part?",) * 5))
        for name in _OFFSETS
    ),
    _call(
        "pandas._libs.tslibs.timestamps", "_unpickle_timestamp", "time",
        ("int", "offset-or-none", "zone-or-none", "resolution?"),
    ),
    _call("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle", "time", ("int", "resolution")),
    _call("pandas._libs.tslibs.nattype", "_nat_unpickle", "time", ("none",)),
    *_named(
        "Period", "pandas", "pandas._libs.tslibs.period", calls=(("none", "offset", "int"),), result="time"
    ),
    *_named(
        "Interval", "pandas", "pandas._libs.interval", calls=(("end", "end", "closed"),), result="time"
    ),
    *(
        _call("datetime", name, "time", *calls)
        for name, calls in {
            "date": (("bytes",),),
            "datetime": (("bytes", "zone?"),),
            "time": (("bytes", "zone?"),),
            "timedelta": (("int", "int", "int"),),
        }.items()
    ),
    _call("decimal", "Decimal", "number", ("short-text",)),
)  # fmt: skip

_ZONES: Final = (
    _call("datetime", "timezone", "zone", ("time",), ("time", "short-text")),
    GlobalRule(module="zoneinfo", name="ZoneInfo", kind="zoneinfo-type"),
    # How CPython pickles the bound method `ZoneInfo._unpickle`, whose name alone may follow.
    _call("builtins", "getattr", "zoneinfo-maker", ("zoneinfo-type", "unpickle-name")),
    _call("pytz", "_UTC", "zone", ()),
    _call("pytz", "_p", "zone", ("zone-name",), ("zone-name", "int", "int", "short-text")),
    _call("dateutil.tz.tz", "tzutc", "zone", ()),
    # Given no file it opens none; what it is comes by BUILD.
    GlobalRule(
        module="dateutil.tz.tz",
        name="tzfile",
        calls=(("none", "str-or-none"),),
        result="zone",
        build="attributes",
    ),
    GlobalRule(
        module="dateutil.tz.tz", name="_ttinfo", kind="type", new=((),), calls=((),), result="time", build="attributes"
    ),
)

FRAMES: Final = (*_FRAMES, *_ARRAYS, *_TYPES, *_ARROW, *_TIMES, *_ZONES)
"""Rules for ``pandas``, beyond those of numpy's arrays."""
