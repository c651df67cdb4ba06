"""One Rego file as OPA's own parser sees it, with the places that OPA's tree does not hand out.

``rego.parse_module`` gives the syntax tree and the comments, but no row of a rule. So the tokens of the text are
counted: the third ``not`` of the tree is the third ``not`` of the text. A place that cannot be found that way is the
rule's own row; what is found never depends on it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from interlock.policy.authoring.workbench import Workbench, parsed_trees
from interlock.policy.bundles.bundle import Module

Node = Mapping[str, Any]

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<line>\n)|(?P<text>\$?"(?:\\.|[^"\\\n])*"|\$?`[^`]*`)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<sign>:=|==|!=|<=|>=|[^\w\s])|(?P<number>\d[\w.]*)"""
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_ORDER = {
    "head": 0,
    "args": 1,
    "ref": 2,
    "term": 3,
    "key": 4,
    "value": 5,
    "domain": 6,
    "terms": 7,
    "body": 8,
    "else": 9,
}
"""Where a part stands in the text, among the parts of its node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word, text, number or sign of the source, with its row and column from 1."""

    text: str
    row: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One METADATA block.

    Args:
        row: Of its first line.
        last_row: Of its last line.
        fields: Its YAML; empty when that is no mapping.
        broken: What the YAML parser says; empty when it can be read.
    """

    row: int
    last_row: int
    fields: Mapping[str, Any]
    broken: str = ""

    @property
    def custom(self) -> Mapping[str, Any]:
        """The ``custom`` part, empty when it is no mapping."""
        custom = self.fields.get("custom")
        return custom if isinstance(custom, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, one of maybe several of its name.

    Args:
        name: Of its head, dotted.
        node: OPA's tree of it.
        tokens: Its part of the text, from its first word to the next rule.
        annotation: The METADATA block right above it.
    """

    name: str
    node: Node
    tokens: tuple[Token, ...]
    annotation: Annotation | None

    @property
    def row(self) -> int:
        """Where it starts."""
        return self.tokens[0].row if self.tokens else 1

    def place(self, *words: str, nth: int = 0) -> tuple[int, int]:
        """Row and column of the `nth` time that these tokens follow each other; the rule's own when they do not."""
        found = 0
        texts = [token.text for token in self.tokens]
        for index in range(len(texts) - len(words) + 1):
            if tuple(texts[index : index + len(words)]) == words:
                if found == nth:
                    return self.tokens[index].row, self.tokens[index].column
                found += 1
        return (self.tokens[0].row, self.tokens[0].column) if self.tokens else (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One file.

    Args:
        module: Its path and text.
        tree: OPA's tree.
        package: Dotted, without ``data.``.
        annotation: The METADATA block above the package.
        rules: In the order of the text.
        annotations: Every block, in the order of the text.
    """

    module: Module
    tree: Node
    package: str
    annotation: Annotation | None
    rules: tuple[Rule, ...]
    annotations: tuple[Annotation, ...]

    @property
    def is_test(self) -> bool:
        """Whether it holds tests and is no part of decisions."""
        return self.module.path.endswith("_test.rego")

    @property
    def imports(self) -> Mapping[str, str]:
        """What each imported name stands for, dotted, from ``data`` or ``input`` on."""
        found = {}
        for one in self.tree.get("imports", ()):
            path = dotted(one["path"]["value"])
            found[str(one.get("alias") or path.rsplit(".", 1)[-1])] = path
        return found


def parse(workbench: Workbench, modules: Sequence[Module]) -> tuple[tuple[Parsed, ...], Mapping[str, str]]:
    """Parse files with OPA's parser.

    Returns:
        The files that could be parsed, and OPA's error for each path that could not.

    Raises:
        PolicyError: The helper cannot start or died.
    """
    trees = dict(zip((module.path for module in modules), parsed_trees(workbench, modules), strict=True))
    good = [(module, tree) for module in modules if not isinstance(tree := trees[module.path], str)]
    blocks = [list(_blocks(tree)) for _, tree in good]
    read = iter(_annotations(workbench, [block for some in blocks for block in some]))
    files = tuple(
        _parsed(module, tree, tuple(next(read) for _ in some))
        for (module, tree), some in zip(good, blocks, strict=True)
    )
    return files, {path: tree for path, tree in trees.items() if isinstance(tree, str)}


def nodes(node: object) -> Iterator[Node]:
    """Every object of a tree, in the order of the text."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left.extend(reversed(node))
        elif isinstance(node, Mapping):
            yield node
            parts = sorted(node.items(), key=lambda part: _ORDER.get(part[0], 5))
            left.extend(value for _, value in reversed(parts))


def dotted(parts: Sequence[Node]) -> str:
    """A reference as it is written: ``input.report.measures[name]``."""
    text = ""
    for index, part in enumerate(parts):
        value = part.get("value")
        if index == 0:
            text = str(value) if isinstance(value, str) else "…"
        elif part.get("type") == "string" and re.fullmatch(r"[A-Za-z_]\w*", str(value)):
            text += f".{value}"
        elif part.get("type") == "string":
            text += f'["{value}"]'
        else:
            text += f"[{value if part.get('type') in {'var', 'number'} else '…'}]"
    return text


def tokens(source: str) -> tuple[Token, ...]:
    """The words and signs of a text, without comments."""
    found, row, start = [], 1, 0
    for match in _TOKEN.finditer(source):
        if match.lastgroup == "line":
            row, start = row + 1, match.end()
        elif match.lastgroup != "skip":
            found.append(Token(text=match.group(), row=row, column=match.start() - start + 1))
            if "\n" in match.group():
                row, start = row + match.group().count("\n"), match.start() + match.group().rindex("\n") + 1
    return tuple(found)


def _parsed(module: Module, tree: Node, annotations: tuple[Annotation, ...]) -> Parsed:
    words = tokens(module.source)
    starts = list(_starts(words))
    package_row = next((words[index].row for index in starts if words[index].text == "package"), 1)
    rules, left = [], [index for index in starts if words[index].text not in {"package", "import"}]
    for node in tree.get("rules", ()):
        name = dotted(node["head"]["ref"]) if "ref" in node["head"] else str(node["head"]["name"])
        first = name.split(".")[0].split("[")[0]
        at = next(
            (index for index in left if first in {words[index].text, words[min(index + 1, len(words) - 1)].text}), None
        )
        left = left if at is None else left[left.index(at) + 1 :]
        end = next((index for index in starts if at is not None and index > at), len(words))
        own = words[at:end] if at is not None else ()
        above = next((one for one in annotations if own and one.last_row == own[0].row - 1), None)
        rules.append(Rule(name=name, node=node, tokens=own, annotation=above))
    return Parsed(
        module=module,
        tree=tree,
        package=dotted(tree["package"]["path"]).removeprefix("data."),
        annotation=next((one for one in annotations if one.last_row == package_row - 1), None),
        rules=tuple(rules),
        annotations=annotations,
    )


def _starts(words: Sequence[Token]) -> Iterator[int]:
    """The tokens that may begin a package, an import or a rule: first of a line, outside all brackets."""
    depth, row = 0, 0
    for index, word in enumerate(words):
        if depth == 0 and word.row != row and re.match(r"[A-Za-z_]", word.text) and word.text not in {"else", "if"}:
            yield index
        depth += (word.text in _OPEN) - (word.text in _CLOSE)
        row = word.row


def _blocks(tree: Node) -> Iterator[tuple[int, list[str]]]:
    """Row and lines of each METADATA block; a comment alone on its line belongs to the block that it touches."""
    row, lines, last = 0, list[str](), -1
    for comment in tree.get("comments", ()):
        at = comment["Location"]["row"]
        text = base64.b64decode(comment["Text"]).decode("utf-8", "replace")
        if text.strip() == "METADATA":
            if lines or row:
                yield row, lines
            row, lines = at, []
        elif row and at == last + 1:
            lines.append(text)
        elif row:
            yield row, lines
            row, lines = 0, []
        last = at
    if row:
        yield row, lines


def _annotations(workbench: Workbench, blocks: Sequence[tuple[int, list[str]]]) -> list[Annotation]:
    """Read the YAML of all blocks at once, and one by one only when one of them is broken."""
    texts = ["\n".join(line.removeprefix(" ") for line in lines) for _, lines in blocks]
    together = workbench.ask("read := [yaml.unmarshal(text) | some text in input]", cast("Any", texts))
    broken = [""] * len(blocks)
    if together.error:
        alone = [workbench.ask("read := [yaml.unmarshal(input)]", text) for text in texts]
        broken = [reply.error for reply in alone]
        values = [reply.rows[0]["bindings"]["read"][0] if reply.rows else {} for reply in alone]
    else:
        values = together.rows[0]["bindings"]["read"]
    return [
        Annotation(
            row=row,
            last_row=row + len(lines),
            fields=value if isinstance(value, Mapping) else {},
            broken=error,
        )
        for (row, lines), value, error in zip(blocks, values, broken, strict=True)
    ]
