"""What the labels of rows that resemble each other say: their counts by pair of classes."""

from interlock.poisoning.labels.pairs import PairCount, pair_counts

__all__ = ["PairCount", "pair_counts"]
