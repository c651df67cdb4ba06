"""Other people's detectors beside Interlock's, for those who want to compare: ART, PyOD and cleanlab.

They raise no alarm and take no part in the fusion: none of them has a null, and those of ART and PyOD flag a share of
every dataset, also of a clean one. What they say is told as remarks and measures, "for comparison only".
"""

from interlock.poisoning.compare.gathering import Gathered, gathered
from interlock.poisoning.compare.peers import EXPECTED, PEERS, Compared, Peer, compared, installed, known_peers
from interlock.poisoning.compare.remarks import beside

__all__ = [
    "EXPECTED",
    "PEERS",
    "Compared",
    "Gathered",
    "Peer",
    "beside",
    "compared",
    "gathered",
    "installed",
    "known_peers",
]
