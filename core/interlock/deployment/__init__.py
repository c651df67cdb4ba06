"""Promotion of a model: the verified bytes into a registry, and an alias onto them in one step."""

from interlock.deployment.records import Alias, AliasRecord, Version
from interlock.deployment.registry import FolderRegistry, Promotion

__all__ = ["Alias", "AliasRecord", "FolderRegistry", "Promotion", "Version"]
