"""The scan with a trained model (``--with-training``): what no look at the rows alone can see.

`TrainedModel` trains a small network on the suspect set and looks for rows that it keeps apart; `LossRecorder` brings
the losses of the user's own training along.
"""

from interlock.poisoning.models.learned import Learned
from interlock.poisoning.models.losses import LossRecord, LossRecorder
from interlock.poisoning.models.trained_scan import TrainedModel

__all__ = ["Learned", "LossRecord", "LossRecorder", "TrainedModel"]
