"""What a scan is compared with beside itself: the last accepted snapshot, and a small clean set."""
