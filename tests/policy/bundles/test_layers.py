"""Layers: an organisation adds rules and sets data, and touches no rule of what lies below."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.bundles.bundle_tools import run_opa, tar_gz

from interlock.gate import Json, PolicyError, SettingsError
from interlock.policy import Bundle, EmbeddedEngine, Library, layered, required_gates
from interlock.policy.bundles.archive import packed

ACME = Path(__file__).parents[3] / "policies_examples" / "acme"
BASE = {
    "base/decision.rego": "package base.decision\n\ndefault allow := false\n\nallow if data.base.rules[_].ok\n",
    "base/rules/first.rego": "package base.rules.first\n\nok if data.base.limits.rows > 1\n",
    "base/rules/first_test.rego": "package base.rules.first_test\n",
    "base/rules/first/data.json": '{"own": {"limit": 1}}',
    "base/limits/data.json": '{"rows": 5, "formats": ["a", "b"], "deep": {"x": 1, "y": 2}}',
}


def bundle_of(files: Mapping[str, str], name: str = "layer") -> Bundle:
    return Bundle.unpack(tar_gz({path: text.encode() for path, text in files.items()}), origin=name)


def layer_of(data: object, name: str = "layer") -> Bundle:
    """A layer of data, and a rule that nobody asks."""
    return bundle_of({f"{name}.rego": f"package {name}\n", "data.json": json.dumps(data)}, name)


@pytest.fixture
def base() -> Bundle:
    return bundle_of(BASE, "base")


def test_data_of_a_layer_wins_and_leaves_the_rest(base: Bundle) -> None:
    limits = {"rows": 9, "formats": ["c"], "deep": {"y": None, "z": {"new": True}}}
    both = layered(base, [layer_of({"base": {"limits": limits}, "own": 1})])
    assert both.data["base"] == {
        "rules": {"first": {"own": {"limit": 1}}},
        "limits": {"rows": 9, "formats": ["c"], "deep": {"x": 1, "y": None, "z": {"new": True}}},
    }
    assert both.data["own"] == 1
    assert layered(base, []) is base


def test_what_decides_below_the_layers_must_have_rules(base: Bundle) -> None:
    data_alone = bundle_of({"data.json": '{"base": {"limits": {"rows": 9}}}'})
    assert layered(base, [data_alone]).data["base"]["limits"]["rows"] == 9  # type: ignore[index, call-overload]  # it is an object
    with pytest.raises(PolicyError, match="the policy has no rules"):
        layered(data_alone, [base])


def test_the_last_layer_wins_and_the_order_is_in_the_digest(base: Bundle) -> None:
    low, high = layer_of({"base": {"limits": {"rows": 7}}}, "low"), layer_of({"base": {"limits": {"rows": 8}}}, "high")
    one, other = layered(base, [low, high]), layered(base, [high, low])
    assert one.data["base"]["limits"]["rows"] == 8  # type: ignore[index, call-overload]  # it is an object
    assert other.data["base"]["limits"]["rows"] == 7  # type: ignore[index, call-overload]  # it is an object
    assert len({base.digest, layered(base, [low]).digest, one.digest, other.digest}) == 4


def test_a_layer_changes_nothing_of_the_bundle_that_it_lies_on(base: Bundle) -> None:
    before = json.dumps(base.data)
    layered(base, [layer_of({"base": {"limits": {"deep": {"x": 5}}}})])
    assert json.dumps(base.data) == before


@pytest.mark.parametrize(
    "path",
    [
        "base",
        "base.decision",
        "base.decision.allow",
        "base.rules.first",
        "base.rules",
        "base.rules.first.deeper",
        "base.rules.first_test",
    ],
)
def test_a_layer_that_reaches_into_a_package_is_refused_with_both_files(base: Bundle, path: str) -> None:
    layer = bundle_of({"own/x.rego": f"package {path}\n\ndecision.allow := true\n"})
    with pytest.raises(PolicyError, match=r"reaches into package base") as refused:
        layered(base, [layer])
    assert "layer/own/x.rego, base/base/" in refused.value.where
    assert "package of its own" in refused.value.next_step


def test_a_test_of_a_layer_is_held_to_the_same(base: Bundle) -> None:
    files = {"own/x.rego": "package own\n", "own/x_test.rego": "package base.decision\n\nallow := true\n"}
    with pytest.raises(PolicyError, match=r"reaches into package base\.decision"):
        layered(base, [bundle_of(files)])


def test_a_layer_may_not_bring_a_file_that_is_there(base: Bundle) -> None:
    with pytest.raises(PolicyError, match="same path") as refused:
        layered(base, [bundle_of({"base/decision.rego": "package other\n"})])
    assert refused.value.where == "layer/base/decision.rego, base/base/decision.rego"


def test_a_layer_may_not_touch_the_layer_below_it(base: Bundle) -> None:
    low = bundle_of({"low.rego": "package base.rules.low\n\nok := false\n"}, "low")
    high = bundle_of({"high.rego": "package base.rules.low\n\nok := true\n"}, "high")
    with pytest.raises(PolicyError, match=r"reaches into package base\.rules\.low") as refused:
        layered(base, [low, high])
    assert "high/high.rego" in refused.value.where


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param({"base": {"decision": {"allow": True}}}, "under package base.decision", id="in place of a rule"),
        pytest.param({"base": {"rules": {"first": {"ok": True}}}}, "under package", id="beside data in a package"),
        pytest.param({"base": {"rules": {"first": 1}}}, "under package", id="in place of a package"),
        pytest.param({"base": {"rules": {"first": {"own": 1}}}}, "under package", id="in place of a package's data"),
        pytest.param({"base": {"rules": {"first": {"own": {"limit": {}}}}}}, "under package", id="deeper in it"),
        pytest.param({"base": {"rules": True}}, "under package", id="in place of a folder of packages"),
        pytest.param({"base": 1}, "under package", id="in place of everything"),
        pytest.param(
            {"base": {"limits": 1}}, r"else than an object at data\.base\.limits", id="a number for an object"
        ),
        pytest.param({"base": {"limits": None}}, "else than an object", id="nothing for an object"),
        pytest.param({"base": {"limits": {"rows": {}}}}, r"an object at data\.base\.limits\.rows", id="the reverse"),
    ],
)
def test_data_that_does_not_fit_is_refused(base: Bundle, data: Json, message: str) -> None:
    with pytest.raises(PolicyError, match=message) as refused:
        layered(base, [layer_of(data)])
    assert "layer" in refused.value.where
    assert "base" in refused.value.where
    assert refused.value.next_step


def test_data_that_a_package_of_the_base_has_beside_it_can_be_set(base: Bundle) -> None:
    both = layered(base, [layer_of({"base": {"rules": {"first": {"own": {"limit": 3}}}}})])
    assert both.data["base"]["rules"] == {"first": {"own": {"limit": 3}}}  # type: ignore[index, call-overload]


def test_a_layer_may_not_put_a_package_where_data_is(base: Bundle) -> None:
    with pytest.raises(PolicyError, match="where there is data"):
        layered(base, [bundle_of({"x.rego": "package base.limits\n\nrows := 0\n"})])


def test_manifests_come_together_without_roots_inside_roots() -> None:
    roots = '{"roots": ["base", "site/x"], "metadata": {"a": 1, "b": 1}}'
    below = bundle_of({"base/r.rego": "package base.r\n", ".manifest": roots}, "below")
    above = {"roots": ["base/acme", "site", "base"], "metadata": {"b": 2}, "rego_version": 1, "revision": "3"}
    layer = bundle_of({"base/s.rego": "package base.acme\n", ".manifest": json.dumps(above)})
    both = layered(below, [layer])
    assert both.manifest == {"roots": ["base", "site"], "metadata": {"a": 1, "b": 2}, "rego_version": 1}
    assert both.revision == "3"
    assert both.origin == "below + layer"
    everything = layered(both, [bundle_of({"x.rego": "package x\n"}, "third")])
    assert everything.manifest["roots"] == [""]


names = st.sampled_from(["a", "b", "c"])
trees = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


def laid(below: Any, above: Any) -> Any:
    """What the documentation says, in other words."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: laid(below.get(key), above[key]) if key in above else below[key] for key in {*below, *above}}
    if below is not None and isinstance(below, dict) != isinstance(above, dict):
        raise ValueError
    return above


@given(below=trees, above=trees)
def test_layering_data_is_a_merge_in_which_the_layer_wins_or_is_refused(below: Any, above: Any) -> None:
    base = bundle_of({"r.rego": "package r\n", "data.json": json.dumps(below)}, "base")
    layer = layer_of(above)
    try:
        expected = laid(below, above)
    except ValueError:
        with pytest.raises(PolicyError):
            layered(base, [layer])
        return
    both = layered(base, [layer])
    assert both.data == expected
    built = Bundle.unpack(packed(both), origin="built")
    assert built.digest == both.digest
    assert layered(both, []).digest == both.digest


def test_a_profile_that_extends_another_lies_over_it() -> None:
    bundle = layered(Bundle.load(), [Bundle.load(ACME)])
    acme, standard = bundle.profile("acme"), bundle.profile("standard")
    assert acme["validation"] == {**standard["validation"], "min_rows": 1000}  # type: ignore[dict-item]  # an object
    assert acme["poisoning"] == standard["poisoning"]
    assert "extends" not in acme
    assert required_gates(bundle, "acme", "training") == required_gates(bundle, "standard", "training")


@pytest.mark.parametrize(
    "profiles",
    [
        pytest.param({"acme": {"extends": "nobody"}}, id="one that is not there"),
        pytest.param({"acme": {"extends": "acme"}}, id="itself"),
        pytest.param({"acme": {"extends": 1}}, id="no name"),
        pytest.param({"acme": {"extends": None}}, id="nothing"),
        pytest.param({"acme": {"extends": "b"}, "b": {"extends": "standard"}, "standard": {}}, id="one that extends"),
    ],
)
def test_a_profile_that_extends_none_that_stands_by_itself_is_refused(profiles: Json) -> None:
    bundle = layer_of({"interlock": {"profiles": profiles}})
    with pytest.raises(PolicyError, match="stands by itself"):
        bundle.profile("acme")


@pytest.fixture(scope="module")
def with_acme(library: Library) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(layered(Bundle.load(), [Bundle.load(ACME)]), library=library, deadline=30)
    yield engine
    engine.close()


@pytest.fixture
def document(examples: Callable[[], Mapping[str, dict[str, Any]]]) -> dict[str, Any]:
    """What the validation gate asks, allowed by `standard`."""
    return examples()["validation"]


@pytest.mark.parametrize("name", ["acme", "standard"])
def test_python_and_rego_mean_the_same_profile(with_acme: EmbeddedEngine, name: str) -> None:
    bundle = layered(Bundle.load(), [Bundle.load(ACME)])
    assert with_acme.evaluate("interlock.facts.profile", {"profile": name}).value == bundle.profile(name)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        (("acme", "file:///lake/train.parquet", 50_000), set()),
        (("acme", "file:///lake/landing/train.parquet", 50_000), {"dataset.acme-landing"}),
        (("acme", "file:///lake/train.parquet", 999), {"dataset.rows"}),
        (("standard", "file:///lake/train.parquet", 999), set()),
    ],
)
def test_the_example_layer_decides_with_its_own_rule_and_threshold(
    with_acme: EmbeddedEngine, changes: tuple[str, str, int], ids: set[str], document: dict[str, Any]
) -> None:
    profile, uri, rows = changes
    document["profile"] = profile
    document["subject"]["uri"] = uri
    document["report"]["measures"]["rows"]["value"] = rows
    result: Any = with_acme.evaluate("interlock.decision.result", document).value
    assert {reason["id"] for reason in result["reasons"]} == ids
    assert result["allow"] is (not ids)


def test_the_rego_tests_of_the_example_pass_in_a_stock_opa_and_run_each_line(tmp_path: Path) -> None:
    archive = tmp_path / "with-tests.tar.gz"
    archive.write_bytes(packed(layered(Bundle.load(), [Bundle.load(ACME)]), with_tests=True))
    done = run_opa("test", "-b", str(archive), "--run", "acme_landing_test", "--coverage")
    assert done.returncode == 0, done.stdout
    covered = json.loads(done.stdout)["files"]["interlock/dataset/acme_landing/acme_landing.rego"]
    assert covered["coverage"] == 100


def test_the_example_takes_nothing_outside_its_roots(tmp_path: Path) -> None:
    files = {str(path.relative_to(ACME)): path.read_text() for path in ACME.rglob("*") if path.is_file()}
    files["interlock/profiles/data.json"] = '{"standard": {"validation": {"min_rows": 0}}}'
    with pytest.raises(PolicyError, match=r"data\.interlock\.profiles\.standard is outside"):
        bundle_of({path: text for path, text in files.items() if not path.endswith(".md")})
    with pytest.raises(SettingsError, match="unknown"):
        Bundle.load().profile("acme")
