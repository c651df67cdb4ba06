"""Options through KFP's own conversion: a step gets what its factory was given."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]  # its stubs are a package of their own
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp.compiler.pipeline_spec_builder import to_protobuf_value

from interlock.kubeflow.options import arrived
from interlock.kubeflow.tasks import constant

LEAVES = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NAMES = st.text().filter(lambda name: not name.endswith("_json"))
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=4).filter(lambda options: "{{" not in repr(options))


def carried(options: dict[str, Any]) -> dict[str, Any]:
    """As KFP writes them into a compiled pipeline, and reads them for the pod."""
    value: dict[str, Any] = json_format.MessageToDict(to_protobuf_value(options))
    return dict(json.loads(json.dumps(value)))


@settings(max_examples=40)
@given(OPTIONS)
def test_options_arrive_as_they_were_given(options: dict[str, Any]) -> None:
    there = arrived(carried(constant(options, where="a step")))
    assert there == options
    assert whole(there) == whole(options)


def whole(value: Any) -> Any:
    """The types of the numbers, of which a whole float may become an int."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return type(value) if isinstance(value, bool | str) else float(value).is_integer()


@settings(max_examples=40)
@given(st.dictionaries(st.text(), st.none() | VALUES, max_size=4).filter(lambda options: "{{" not in repr(options)))
def test_what_travels_as_text_keeps_its_nulls(suite: dict[str, Any]) -> None:
    assert arrived(carried({"suite_json": json.dumps(suite)})) == {"suite": suite}
