"""Files that hold other files: whatever is inside is scanned as a file of its own, and the container is distrusted."""
