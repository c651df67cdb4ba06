"""What repeats: rows that are copies of each other, and patterns that stand in many images, wherever they stand."""

from interlock.poisoning.repeats.duplicates import Duplicates
from interlock.poisoning.repeats.moving_pattern import MovingPattern

__all__ = ["Duplicates", "MovingPattern"]
