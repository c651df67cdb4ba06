"""Chat templates: what families write passes, and what passes never comes near Python, in no environment."""

from __future__ import annotations

import types
from typing import Any

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_templates import PAYLOADS, tokenizer_config
from tests.artifacts.harmless_templates import TEMPLATES
from tests.artifacts.looking import record_of

from interlock.artifacts.formats.template import LONGEST
from interlock.artifacts.record import UNSAFE_TEMPLATE, Record
from interlock.gate import Level


def judged(template: str) -> Record:
    """What a scan of a tokenizer configuration with this template recorded."""
    return record_of(tokenizer_config(template))


def told(record: Record) -> list[str]:
    return [finding.message for finding in record.findings if finding.rule_id == UNSAFE_TEMPLATE]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_of_a_model_family_passes(name: str) -> None:
    record = judged(TEMPLATES[name])
    assert record.clean, (told(record), record.failed)


@pytest.mark.parametrize("name", ["cve-2024-34359-subclasses", "attr-hex", "item-through-a-namespace"])
def test_payload_in_the_middle_of_a_real_template_is_found(name: str) -> None:
    half = TEMPLATES["chatml"]
    assert told(judged(half + PAYLOADS[name] + half))


def test_finding_names_key_line_and_reason() -> None:
    (message,) = told(judged("line 1\n{{ messages.__class__ }}"))
    assert message == "chat_template, line 2: the attribute '__class__'"


def test_many_objections_are_told_by_the_first_ones_and_a_count() -> None:
    record = judged("{{ a.__b }}" * 500)
    assert len(told(record)) == 10
    assert '"objections": 500' in record.findings[0].evidence


def test_template_longer_than_is_judged_is_a_gap() -> None:
    record = judged("." * (LONGEST + 1))
    assert "more than" in record.failed[0].reason


def test_braces_in_a_model_card_are_no_template() -> None:
    card = "# Model\n\n```bibtex\n@misc{x, title={{A}: Model}}\n```\n{{ GPT(4) }} and {% raw\n"
    assert record_of(card.encode()).clean
    assert record_of(b"Use {{ bos_token }} and ${{ secrets.TOKEN }}.\n").clean


def test_text_that_reaches_for_python_is_refused_under_any_name() -> None:
    record = record_of(b"{{ cycler.__init__.__globals__.os }}\n")
    assert told(record)


# --- a differential oracle: what passes is rendered by a plain environment that watches what is reached

_SAID = ["__class__", "__init__", "__globals__", "__mro__", "content", "role", "0"]
_ATOMS = [
    "messages", "messages[0]", "messages[0].content", "m", "m.content", "n.k", "x", "''", "'_'", "'__'", "'class'",
    "'__class__'", "'init'", "1", "2", "[]", "{}", "{'a': messages}", "cycler", "self", "loop", "f", "namespace()",
    "caller", "range(3)", "nothing",
]  # fmt: skip
_FILTERS = ["first", "list", "join", "attr('__class__')", "attr(x)", "map(attribute=x)", "map('first')",
            "string", "reverse", "replace('a', '_')", "default('_')", "format('_')", "items", "trim"]  # fmt: skip
_METHODS = ["split('_')", "join(['', ''])", "get('a', '_')", "items()", "format(1)", "replace('a', '_')", "strip()",
            "append('_' ~ '_')", "pop()", "mro()"]  # fmt: skip


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["content", "__class__", "k", "a", "mro"])).map(".".join),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
        st.tuples(inner, st.sampled_from(["+", "~", "*", "-", "or"]), inner).map(lambda part: f"({' '.join(part)})"),
        st.tuples(inner, st.sampled_from(_FILTERS)).map("|".join),
        st.tuples(inner, st.sampled_from(_METHODS)).map(".".join),
        inner.map(lambda one: f"f({one})"),
        inner.map(lambda one: f"{one}()"),
        inner.map(lambda one: f"{one}[1:]"),
    )


_EXPRESSIONS = st.recursive(st.sampled_from(_ATOMS), _grown, max_leaves=6)
_STATEMENTS = st.one_of(
    _EXPRESSIONS.map("{{{{ {} }}}}".format),
    _EXPRESSIONS.map("{{% set x = {} %}}".format),
    _EXPRESSIONS.map("{{% set n.k = {} %}}".format),
    _EXPRESSIONS.map("{{% do {} %}}".format),
    st.tuples(_EXPRESSIONS, _EXPRESSIONS).map(lambda two: f"{{% for m in {two[0]} %}}{{{{ {two[1]} }}}}{{% endfor %}}"),
    st.tuples(_EXPRESSIONS, _EXPRESSIONS).map(
        lambda two: f"{{% macro f(x, y={two[0]}) %}}{{{{ {two[1]} }}}}{{% endmacro %}}"
    ),
)


class Watched(jinja2.Environment):
    """A plain environment that fails as soon as a template holds something that leads to Python's internals."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return checked(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        return checked(super().getitem(obj, argument))


class ReachedError(AssertionError):
    pass


def checked(value: Any) -> Any:
    kinds = types.ModuleType | types.FunctionType | types.FrameType | types.CodeType
    if isinstance(value, kinds) or (isinstance(value, dict) and "__builtins__" in value):
        raise ReachedError(repr(value)[:200])
    if isinstance(value, list | tuple) and any(isinstance(item, type) for item in value):
        raise ReachedError(repr(value)[:200])
    return value


def render(template: str) -> None:
    """Render as a loader without a sandbox would; whatever else goes wrong is the template's affair."""
    environment = Watched(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])
    messages = [{"role": said, "content": said} for said in _SAID]
    try:
        environment.from_string(template).render(messages=messages)
    except ReachedError:
        raise
    except Exception:  # noqa: BLE001 - a template may fail in every way there is
        return


@pytest.mark.parametrize(
    "payload",
    ["{{ self.__init__.__globals__ }}", "{{ cycler['__init__'] }}", "{{ ''.__class__.__mro__ }}"],
)
def test_the_oracle_sees_what_it_should(payload: str) -> None:
    with pytest.raises(ReachedError):
        render(payload)


def _never_reaches_python(statements: list[str]) -> None:
    template = "{% set n = namespace(k='') %}" + "".join(statements)
    if judged(template).clean:
        render(template)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STATEMENTS, min_size=1, max_size=4))
def test_what_passes_never_reaches_python(statements: list[str]) -> None:
    _never_reaches_python(statements)


@pytest.mark.slow
@settings(max_examples=1_200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STATEMENTS, min_size=1, max_size=5))
def test_what_passes_never_reaches_python_at_length(statements: list[str]) -> None:
    _never_reaches_python(statements)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_of_a_model_family_renders_in_the_watched_environment(name: str) -> None:
    render(TEMPLATES[name])


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="{}%#-_ .'\"[]()|~abxifor\n\\", max_size=80))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    record = judged("{{ messages.__class__ }}" + text)
    assert not record.clean
    assert all(finding.level in Level for finding in record.findings)
