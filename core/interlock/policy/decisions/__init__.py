"""From one input document to one decision: the decider, its log, and what another policy would have said."""
