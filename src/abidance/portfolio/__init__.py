"""The double-entry ledger and what follows from it: balances, positions, round trips, equity."""
