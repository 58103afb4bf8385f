"""Abidance: from a trading idea to guarded trading, with the same decisions at every stage."""

__version__ = "0.1.0"
