"""Hostile chat templates: the public ways from Jinja to Python, one each, with payloads that do nothing.

Sources: CVE-2024-34359 (llama-cpp-python), CVE-2026-5760 (SGLang), the sandbox escapes of Jinja itself
(CVE-2016-10745, CVE-2019-10906, CVE-2024-56326, CVE-2024-56201, CVE-2025-27516), PayloadsAllTheThings and HackTricks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from tests.artifacts.corpus import Hostile, one

PAYLOADS: Mapping[str, str] = {
    # --- straight to a module
    "cve-2024-34359-subclasses": "{% for c in ().__class__.__base__.__subclasses__() %}"
    "{% if 'warning' in c.__name__ %}{{ c()._module.__builtins__['__import__']('os').system('true') }}"
    "{% endif %}{% endfor %}",
    "cve-2026-5760-lipsum": "{{ lipsum.__globals__['os'].popen('true').read() }}",
    "cycler-globals": "{{ cycler.__init__.__globals__.os.popen('true').read() }}",
    "joiner-globals": "{{ joiner.__init__.__globals__.os.popen('true').read() }}",
    "namespace-globals": "{{ namespace.__init__.__globals__.os.popen('true').read() }}",
    "self-globals": "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('true').read() }}",
    "self-template-reference": "{{ self._TemplateReference__context.cycler.__init__.__globals__.os }}",
    "mro-by-index": "{{ ''.__class__.__mro__[1].__subclasses__()[40]('/etc/hostname').read() }}",
    "mro-by-method": "{{ ''.__class__.mro()[1].__subclasses__() }}",
    "class-without-underscores": "{{ ''.class.mro()[1].subclasses() }}",
    "base-of-a-dict": "{{ {}.__class__.__base__.__subclasses__() }}",
    "raise-exception-globals": "{{ raise_exception.__globals__['__builtins__'].eval('1') }}",
    "strftime-now-globals": "{{ strftime_now.__globals__ }}",
    "range-class": "{{ range.__class__ }}",
    "undefined-init": "{{ nothing.__init__.__globals__.sys.modules.os }}",
    "flask-request": "{{ request.application.__globals__.__builtins__.__import__('os').popen('true') }}",
    "flask-config": "{{ config.__class__.from_envvar.__globals__.import_string('os').popen('true') }}",
    "flask-config-items": "{{ config.items() }}",
    "flask-config-rebound": "{% set config = config %}{{ config.items() }}",
    "flask-url-for": "{{ url_for.__globals__.current_app.config }}",
    "flask-get-flashed-messages": "{{ get_flashed_messages.__globals__.__builtins__.open('/etc/hostname').read() }}",
    "config-from-pyfile": "{{ config.from_pyfile('/tmp/x') }}",
    # --- by a key instead of an attribute
    "item-dunder": "{{ ''['__class__'] }}",
    "item-dunder-hex": r"{{ ''['\x5f\x5fclass\x5f\x5f'] }}",
    "item-dunder-unicode": r"{{ ''['\u005f\u005fclass\u005f\u005f'] }}",
    "item-dunder-octal": r"{{ ''['\137\137class\137\137'] }}",
    "item-in-pieces": "{{ ''['__cl'~'ass__'] }}",
    "item-in-pieces-plus": "{{ ''['__cl'+'ass__'] }}",
    "item-in-small-pieces": "{{ ''['_'~'_'~'class'~'_'~'_'] }}",
    "item-through-a-variable": "{% set k = '_' ~ '_class_' ~ '_' %}{{ ''[k] }}",
    "item-through-a-namespace": "{% set n = namespace(k='') %}{% for p in ['_', '_', 'class', '_', '_'] %}"
    "{% set n.k = n.k + p %}{% endfor %}{{ ''[n.k] }}",
    "item-through-a-set-block": "{% set k %}_{% endset %}{% set u %}{{ k }}{{ k }}class{{ k }}{{ k }}{% endset %}"
    "{{ ''[u] }}",
    "item-through-a-macro": "{% macro m() %}_{% endmacro %}{{ ''[m() ~ m() ~ 'class' ~ m() ~ m()] }}",
    "item-through-a-parameter": "{% macro m(o, k) %}{{ o[k] }}{% endmacro %}{{ m('', '_'*2 ~ 'class' ~ '_'*2) }}",
    "item-through-a-default": "{% macro m(o, k=['_', '_class_', '_']|join) %}{{ o[k] }}{% endmacro %}{{ m('') }}",
    "item-through-a-loop": "{% for k in ['_'*2 + 'class' + '_'*2] %}{{ ''[k] }}{% endfor %}",
    "item-through-with": "{% with k = '_'*2 + 'class' + '_'*2 %}{{ ''[k] }}{% endwith %}",
    "item-through-a-tuple": "{% set a, k = 1, ('_'*2 + 'class' + '_'*2) %}{{ ''[k] }}",
    "item-through-a-call-block": "{% macro m() %}{{ caller('_'*2 + 'class' + '_'*2) }}{% endmacro %}"
    "{% call(k) m() %}{{ ''[k] }}{% endcall %}",
    "item-through-dict-keys": "{{ ''[dict(__class__=1)|list|first] }}",
    "item-through-dict-keys-in-pieces": "{{ ''[dict(_=1)|list|first ~ '_class_' ~ '_'] }}",
    "item-reversed": "{{ ''['__ssalc__'|reverse] }}",
    "item-by-replace": "{{ ''['..class..'|replace('.', '_')] }}",
    "item-by-replace-method": "{{ ''['..class..'.replace('.', '_')] }}",
    "item-by-join": "{{ ''[['_', '_', 'class', '_', '_']|join] }}",
    "item-by-join-method": "{{ ''['_'.join(['', '', 'class', '', ''])] }}",
    "item-by-format": "{{ ''['%s%sclass%s%s'|format('_', '_', '_', '_')] }}",
    "item-by-percent": "{{ ''['%c%cclass%c%c' % (95, 95, 95, 95)] }}",
    "item-by-urlencode": "{{ ''[('%5f%5fclass%5f%5f'|urlencode)[0]] }}",
    "item-by-string-of-an-object": "{% set t = cycler|string %}{{ ''[t[0] ~ 'x'] }}",
    "item-by-tojson": "{{ ''[('_' ~ '_class_' ~ '_')|tojson] }}",
    "item-from-message-step-by-step": "{% set n = namespace(o=messages) %}{% for m in messages %}"
    "{% set n.o = n.o[m.content] %}{% endfor %}{{ n.o }}",
    "item-from-message-of-a-macro": "{% macro f() %}{% endmacro %}{{ f[messages[0].content] }}",
    "item-from-message-twice": "{{ messages[messages[0].content][messages[1].content] }}",
    "item-from-message-through-a-variable": "{% set a = messages[m.content] %}{% set b = a[m.role] %}{{ b }}",
    "item-through-varargs": "{% macro m() %}{{ ''[varargs[0]] }}{% endmacro %}{{ m('_' ~ '_class_' ~ '_') }}",
    "item-through-kwargs": "{% macro m() %}{{ ''[kwargs|first] }}{% endmacro %}{{ m(__class__=1) }}",
    "item-through-update": "{% set d = {} %}{% do d.update({'k': '_' ~ '_class_' ~ '_'}) %}{{ ''[d.k] }}",
    "item-through-append": "{% set d = [] %}{% set e = d %}{% do e.append('_' ~ '_class_' ~ '_') %}{{ ''[d[0]] }}",
    "item-through-map-replace": "{{ ''[['x__.class.__']|map('replace', '.', '')|map('replace', 'x', '')|first] }}",
    "item-through-a-positional-namespace": "{% set n = namespace({'k': '_' ~ '_class_' ~ '_'}) %}{{ ''[n.k] }}",
    "item-of-a-loop": "{% for m in messages %}{{ loop[m.content] }}{% endfor %}",
    "item-of-a-rebound-function": "{% set cycler = cycler %}{{ cycler[messages[0].content] }}",
    # --- by a filter that reads attributes
    "attr": "{{ ''|attr('__class__') }}",
    "attr-hex": r"{{ ''|attr('\x5f\x5fclass\x5f\x5f')|attr('\x5f\x5fbase\x5f\x5f') }}",
    "attr-joined": "{{ ''|attr(['__', 'class', '__']|join) }}",
    "attr-formatted": "{{ ''|attr('%s%sclass%s%s'|format('_', '_', '_', '_')) }}",
    "attr-from-message": "{{ ''|attr(messages[0].content) }}",
    "attr-of-a-plain-name": "{{ messages|attr('pop') }}",
    "map-attribute": "{{ ['']|map(attribute='__class__')|list }}",
    "map-attribute-deep": "{{ [cycler]|map(attribute='__init__.__globals__.os')|list }}",
    "map-attr": "{{ ['']|map('attr', '__class__')|list }}",
    "map-attribute-computed": "{{ ['']|map(attribute='_'*2 + 'class' + '_'*2)|list }}",
    "map-of-an-unknown-filter": "{{ ['']|map('import_string')|list }}",
    "map-of-a-computed-filter": "{{ ['']|map(messages[0].content, '__class__')|list }}",
    "selectattr": "{{ ['']|selectattr('__class__')|list }}",
    "rejectattr-deep": "{{ ['']|rejectattr('__class__.__base__', 'none')|list }}",
    "groupby": "{{ ['']|groupby('__class__') }}",
    "sort-attribute": "{{ ['']|sort(attribute='__class__.__mro__') }}",
    "sum-attribute": "{{ ['']|sum('__class__') }}",
    "unique-attribute": "{{ ['']|unique(attribute='__class__')|list }}",
    "max-attribute": "{{ ['']|max(attribute='__class__') }}",
    "join-attribute": "{{ ['']|join(',', attribute='__class__') }}",
    "join-attribute-by-position": "{{ ['']|join(',', '__class__') }}",
    "spread-arguments": "{{ ['']|map(*messages)|list }}",
    "spread-keywords": "{{ ['']|map(**messages[0])|list }}",
    # --- by a format string
    "cve-2016-10745-format": "{{ '{0.__class__.__init__.__globals__}'.format(cycler) }}",
    "cve-2019-10906-format-map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "cve-2024-56326-format-by-reference": "{% set f = '{0.__class__}'.format %}{{ [1]|map(f)|list }}",
    "cve-2025-27516-format-by-attr": "{{ ('{0.__class__}'|attr('format'))(1) }}",
    "format-in-pieces": "{{ ('{0._' ~ '_class_' ~ '_}').format(1) }}",
    "format-of-a-message": "{{ messages[0].content.format(cycler) }}",
    "format-of-safe": "{{ ('{0.x}'|safe).format(1) }}",
    # --- by a call
    "call-of-a-parameter": "{% macro m(f) %}{{ f('true') }}{% endmacro %}{{ m(messages.run) }}",
    "call-of-a-variable": "{% set f = messages.run %}{{ f('true') }}",
    "call-of-a-rebound-function": "{% set namespace = messages.run %}{{ namespace('true') }}",
    "call-of-a-rebound-macro": "{% macro m() %}{% endmacro %}{% set m = messages.run %}{{ m('true') }}",
    "macro-that-replaces-a-function": "{% macro range() %}{% endmacro %}{{ range() }}",
    "call-of-an-item": "{{ messages[0](1) }}",
    "call-of-a-call": "{{ namespace()('true') }}",
    "call-of-an-unknown-function": "{{ open('/etc/hostname') }}",
    "call-of-an-unknown-method": "{{ messages.system('true') }}",
    "call-of-an-unknown-method-by-key": "{{ messages['system']('true') }}",
    "caller-rebound": "{% set caller = messages.run %}{{ caller('true') }}",
    # --- by a tag
    "include": "{% include '/etc/passwd' %}",
    "include-computed": "{% include messages[0].content ignore missing %}",
    "import": "{% import 'x' as x %}{{ x.f() }}",
    "from-import": "{% from 'x' import f %}{{ f() }}",
    "cve-2024-56201-extends": "{% extends 'x' %}",
    "block": "{% block x %}{{ self.x() }}{% endblock %}",
    "do": "{% do messages.__class__ %}",
    "generation": "{% generation %}{{ ''.__class__ }}{% endgeneration %}",
    "filter-block": "{% filter attr('__class__') %}x{% endfilter %}",
    "internal-frame": "{{ messages.gi_frame.f_globals }}",
    "internal-code": "{{ messages.func_code }}",
    "unknown-filter": "{{ messages|import_string }}",
    "unknown-test": "{{ messages is importable }}",
    "in-a-comment-that-ends": "{# safe #}{{ ''.__class__ }}{# safe #}",
    "behind-a-condition": "{% if messages|length > 99 %}{{ ''.__class__ }}{% endif %}",
    "in-a-macro-nobody-calls": "{% macro m() %}{{ ''.__class__ }}{% endmacro %}",
    "in-a-slice": "{{ messages[:''.__class__] }}",
    "in-a-test-argument": "{{ 1 is sameas(''.__class__) }}",
    "in-a-keyword": "{{ namespace(a=''.__class__) }}",
    "line-breaks-in-names": "{{ ''\n.\n__class__ }}",
    # --- by exhaustion
    "huge-range": "{% for i in range(1000000000) %}x{% endfor %}",
    "huge-range-computed": "{% for i in range(messages|length * 1000000000) %}x{% endfor %}",
    "nested-ranges": "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "repeated-text": "{{ 'a' * 1000000000 }}",
    "repeated-text-twice": "{{ 'a' * 1000 * 1000 * 1000 }}",
    "doubling-text": "{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
    "large-indent": "{{ 'a\nb'|indent(1000000000) }}",
    "large-slice": "{{ messages|slice(1000000000)|list }}",
    "recursive-loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "lorem-ipsum": "{{ lipsum(n=99999) }}",
}
"""Name to template; each of them is refused for something that it does."""

UNREADABLE: Mapping[str, str] = {
    "unknown-tag": "{% exec 'true' %}",
    "debug-tag": "{% debug %}",
    "unclosed": "{% if messages %}",
    "deep-parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "deep-ifs": "{% if 1 %}" * 3_000 + "{% endif %}" * 3_000,
    "deep-sum-as-a-key": "{{ x[" + "a + " * 3_000 + "a] }}",
    "huge-number": "{{ " + "9" * 5_000 + " }}",
    "too-long": "{{ a }}" * 20_000,
    "long-chain-of-variables": "".join(f"{{% set a{i} = a{i + 1} %}}" for i in range(200))
    + "{{ x[a0] }}{% set a200='a'~b %}",
}
"""Templates that nobody can judge, so that they are UNDECIDED."""


def tokenizer_config(template: object) -> bytes:
    """A ``tokenizer_config.json`` with this chat template."""
    return json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template}).encode()


def templates() -> list[Hostile]:
    """Every hostile template in a configuration, and some of them in each other place that loaders read."""
    subclasses, lipsum = PAYLOADS["cve-2024-34359-subclasses"], PAYLOADS["cve-2026-5760-lipsum"]
    rule = "artifact-scan.unsafe-template"
    places: dict[str, dict[str, bytes]] = {
        "list-of-templates": {"x.json": tokenizer_config([{"name": "default", "template": "x"},
                                                          {"name": "tool_use", "template": subclasses}])},
        "mapping-of-templates": {"x.json": tokenizer_config({"default": "x", "rag": lipsum})},
        "chat-template-json": {"chat_template.json": json.dumps({"chat_template": lipsum}).encode()},
        "other-file-name": {"anything": tokenizer_config(lipsum)},
        "nested-key": {"x.json": json.dumps({"a": [{"b": {"default_chat_template": lipsum}}]}).encode()},
        "key-twice": {"x.json": b'{"chat_template": "{{ lipsum.__globals__ }}", "chat_template": "x"}'},
        "jinja-file": {"chat_template.jinja": subclasses.encode()},
        "jinja-file-in-a-folder": {"additional_chat_templates/rag.jinja": lipsum.encode()},
        "text-file": {"template": subclasses.encode()},
        "yaml": {"config.yaml": f"model: x\nchat_template: \"{lipsum}\"\n".encode()},
        "langchain": {"prompt.json": json.dumps({"template_format": "jinja2", "template": lipsum}).encode()},
    }  # fmt: skip
    return [
        *(one(f"template-{name}", tokenizer_config(text), "unsafe-template") for name, text in PAYLOADS.items()),
        *(one(f"template-unreadable-{name}", tokenizer_config(text)) for name, text in UNREADABLE.items()),
        *(Hostile(name=f"template-in-{name}", files=files, rule=rule) for name, files in places.items()),
    ]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (templates,)
