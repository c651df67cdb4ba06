"""One AdmissionReview in, the answer of policy out; whatever goes wrong on the way refuses.

The API server reads ``allowed`` and the message. OPA decides (``interlock.kubernetes.admission.response``); before it
is asked, the receipts that the object names are looked up and put into ``input.receipts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlock.gate import InterlockError, Json, PolicyError, Settings
from interlock.gate.documents import unambiguous_json

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, ReceiptSource
    from interlock.kubeflow_plugin.admission.lookup import Lookup
    from interlock.policy import FollowingDecider

ANSWER = "interlock.kubernetes.admission.response"


class Judge:
    """Answers reviews by the deployment's settings; thread safe.

    Args:
        decider: Follows the policy; its engine is asked.
        lookup: Knows receipts.
        known_bundles: Digests of further bundles whose receipts count (setting ``known_bundles``).
    """

    def __init__(self, decider: FollowingDecider, lookup: Lookup, *, known_bundles: tuple[str, ...] = ()) -> None:
        self._decider = decider
        self._lookup = lookup
        self._known_bundles = known_bundles

    def answer(self, body: bytes) -> dict[str, Json]:
        """The AdmissionReview that goes back. Never raises an error of Interlock.

        Args:
            body: What was posted; untrusted.
        """
        uid = ""
        try:
            review = unambiguous_json(body)
            if not isinstance(review, Mapping):
                return refusal("", "no AdmissionReview was sent", code=400)
            uid = _uid(review)
            return self._decided(review, uid)
        except (ValueError, UnicodeDecodeError) as error:
            return refusal(uid, f"what was sent cannot be read: {error}", code=400)
        except InterlockError as error:
            return refusal(uid, f"nobody could decide: {error.what}", code=500)

    def _decided(self, review: Mapping[str, Json], uid: str) -> dict[str, Json]:
        with self._decider.held() as decider:
            bundles = {decider.bundle_digest, *self._known_bundles} - {""}
            receipts = self._lookup.of(review, bundles=bundles)
            said = decider.engine.evaluate(ANSWER, {**review, "receipts": receipts})
        answer = said.value
        response = answer.get("response") if said.defined and isinstance(answer, Mapping) else None
        if not isinstance(response, Mapping) or not isinstance(response.get("allowed"), bool):
            raise PolicyError("the policy gave no answer of the form that the API server takes", where=ANSWER)
        if response.get("uid") != uid or not uid:
            return refusal(uid, "the review has no uid", code=400)
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": dict(response)}


def refusal(uid: str, why: str, *, code: int) -> dict[str, Json]:
    """An answer that admits nothing.

    Args:
        uid: Of the request; the API server refuses an answer without it.
        why: For whoever asked.
        code: HTTP status that the client gets.
    """
    status: dict[str, Json] = {"code": code, "message": f"interlock: {why}"[:4000]}
    response: dict[str, Json] = {"uid": uid, "allowed": False, "status": status}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def open_judge(settings: Settings) -> Judge:
    """The judge that the settings name. It makes no key, and no ledger is opened before the first receipt is named.

    Raises:
        InterlockError: The policy or its engine cannot be had.
    """
    from interlock.evidence import KeyRing, Ledger, open_receipts
    from interlock.kubeflow_plugin.admission.lookup import Lookup
    from interlock.policy import open_decider

    def receipts() -> ReceiptSource:
        return open_receipts(settings, Ledger.open(settings.ledger_url))

    def keyring() -> KeyRing:
        return KeyRing.load(settings)

    return Judge(open_decider(settings), Lookup(receipts, keyring), known_bundles=settings.known_bundles)


def _uid(review: Mapping[str, Json]) -> str:
    request = review.get("request")
    uid = request.get("uid") if isinstance(request, Mapping) else None
    return uid if isinstance(uid, str) else ""
