"""What must not be seen, and what it may do: the vault, exchange keys, the rules for their permissions."""
