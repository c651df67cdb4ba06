"""The closer look at a phrase: is it heard from many independent texts, and from texts like others, or unlike them?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interlock.poisoning.texts.content import Look
from interlock.poisoning.texts.phrases import Phrase, contradiction, removed_weight
from interlock.poisoning.texts.witnesses import MAX_WITNESSES, Sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POISONED_SHARES = (0.2, 0.4, 0.6, 0.8, 0.999)


def heard(phrase: Phrase, outside: NDArray[np.int64], sketches: Sketches) -> float:
    """Evidence, in decades, of those carriers that count by themselves; none when most do not.

    Args:
        phrase: It and its carriers.
        outside: int64 array: documents to compare them with, ascending.
        sketches: Of all documents.
    """
    import numpy as np

    if not phrase.decades:
        return 0.0
    witnesses = np.flatnonzero(phrase.counted)[:MAX_WITNESSES]
    alone = sketches.alone(phrase.documents[witnesses], outside)
    if 2 * int(alone.sum()) < len(alone):
        return 0.0
    counted = np.zeros(len(phrase.documents), dtype=np.bool_)
    counted[witnesses[alone]] = True
    return contradiction(phrase.carried, phrase.chances, counted)


def unlike(phrase: Phrase, share: float) -> float:
    """Decades of evidence that carriers with the label are, for the rest of their text, not like others with it.

    A word that decides a label by nature (the name of the class, the word for a feeling) stands in texts whose rest may
    say little, but those are texts like others of the label. Poisoned ones are drawn from other labels. The likelihood
    ratio of the two, of some share of the carriers, is an e-value: by Markov's inequality it is large by chance no more
    often than its inverse (Vovk and Wang, 2021), and so is its mean over several shares.

    Args:
        phrase: It and its carriers.
        share: Of the label among all documents.
    """
    import numpy as np

    chances = phrase.chances[phrase.carried]
    ratio = (1 - chances) / chances * share / (1 - share)
    logs = [float(np.log(1 - part + part * ratio).sum()) for part in POISONED_SHARES]
    best = max(logs)
    mean = sum(math.exp(log - best) for log in logs) / len(logs)
    return (best + math.log(mean)) / math.log(10)


def told_apart(phrase: Phrase, look: Look) -> float:
    """How well the rest of the text tells carriers with the label from everybody without it: an area under the curve.

    Args:
        phrase: It and its carriers.
        look: One label against all others.
    """
    import numpy as np

    mine = phrase.documents[phrase.carried]
    places = [phrase.at[phrase.carried] + step for step in range(len(phrase.words))]
    scale = np.sqrt(look.words.distinct + 1)
    own = (look.margins[0, mine] - removed_weight(look, mine, places)[0]) / scale[mine]
    others = np.delete(look.margins[0] / scale, phrase.documents)
    others.sort()
    below = np.searchsorted(others, own, side="left") + np.searchsorted(others, own, side="right")
    return float(below.mean()) / 2 / max(1, len(others))
