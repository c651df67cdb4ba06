"""Detectors over the columns of a table: combinations of values, and who contributed the rows."""

from interlock.poisoning.tables.source_excess import SourceExcess
from interlock.poisoning.tables.value_combination import ValueCombination

__all__ = ["SourceExcess", "ValueCombination"]
