"""What only a look at the whole model folder can tell, after each of its files was scanned."""
