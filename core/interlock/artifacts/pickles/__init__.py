"""The pickle family: a symbolic machine that follows every opcode and executes none, under an allow-list profile."""
