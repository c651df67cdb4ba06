"""Model files: scanners by format that deny what could run.

The pickle family is walked by a symbolic machine under an allow-list profile; safetensors, numpy and zip containers
are parsed natively. No framework is imported, nothing is executed, and content alone decides the format.
"""

from interlock.artifacts.gate import ArtifactGate
from interlock.artifacts.limits import Limits
from interlock.artifacts.pickles.profiles import PROFILES, GlobalRule, Profile, profile_named

__all__ = ["PROFILES", "ArtifactGate", "GlobalRule", "Limits", "Profile", "profile_named"]
