"""Hidden patterns: something added to some rows of one class that no eye sees and no exact repeat shows.

A blend, a sinusoid, a patch or a colour moves every row that carries it by (nearly) one vector. Divided by how rows
of a class vary among themselves, that vector is long where honest variation is small, so along it the class falls
apart in two: the carriers, close together, and the rest. `PatternScan` looks for such splits with neither a model nor
clean data, and asks of each what an honest subclass is not:

- **too sharp** (`sharpness`): however heavy a tail is, while it thins out it cannot be this narrow so far out;
- **drawn at random** (`content`): poison is made from rows picked at random, so but for the pattern its rows vary as
  the class, or all the other classes, do; a subclass (boots with heels, photographs by night) varies in its own way;
- **told apart by the label** (`carriers`): rows with the pattern carry one label far more often than chance.

One reading for a sample of each class, and one more to score every row when something was found.
"""

from interlock.poisoning.patterns.pattern_scan import PatternScan

__all__ = ["PatternScan"]
