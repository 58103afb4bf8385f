"""Frozen values and their legality: money, instruments, market data, orders, intents, events, commands, outcomes.

Nothing here performs I/O or knows another room of the package.
"""
