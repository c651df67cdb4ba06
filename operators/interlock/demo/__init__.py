"""What the demos of all orchestrators share: the three scenarios, what they have to come to, and how it is read back.

Knows no orchestrator: whoever drives one says how each step ended, and the ledger and the registry say the rest.
"""

from interlock.demo.conclusion import RunSeen, conclude
from interlock.demo.evidence import DemoEvidence
from interlock.demo.isolation import isolation_line
from interlock.demo.scenarios import (
    DemoResult,
    Ended,
    Row,
    Scenario,
    StepEnd,
    Steps,
    problems_of,
    scenarios_of,
)

__all__ = [
    "DemoEvidence",
    "DemoResult",
    "Ended",
    "Row",
    "RunSeen",
    "Scenario",
    "StepEnd",
    "Steps",
    "conclude",
    "isolation_line",
    "problems_of",
    "scenarios_of",
]
