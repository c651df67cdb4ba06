"""Poisoning detectors over training data.

`PoisoningGate` scans; whether what it finds stops the pipeline is policy's to say. numpy, torch and pyarrow are
imported when the gate looks, never before.
"""

from interlock.poisoning.batches import Batch, BatchSource, Block, Coded, Columns, Source, Unread
from interlock.poisoning.bounds import ALARM_STRENGTH, strength
from interlock.poisoning.detector import Detector, LabelShift, Pair, Scores, Suspicion, Trigger
from interlock.poisoning.gate import PoisoningGate
from interlock.poisoning.label_consistency import LabelConsistency
from interlock.poisoning.repeated_pattern import RepeatedPattern
from interlock.poisoning.scan import Scan, detect, scan
from interlock.poisoning.streams import BatchStream
from interlock.poisoning.survey import Profile, Survey, SurveyState

__all__ = [
    "ALARM_STRENGTH",
    "Batch",
    "BatchSource",
    "BatchStream",
    "Block",
    "Coded",
    "Columns",
    "Detector",
    "LabelConsistency",
    "LabelShift",
    "Pair",
    "PoisoningGate",
    "Profile",
    "RepeatedPattern",
    "Scan",
    "Scores",
    "Source",
    "Survey",
    "SurveyState",
    "Suspicion",
    "Trigger",
    "Unread",
    "detect",
    "scan",
    "strength",
]
