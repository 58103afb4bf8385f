"""Strategies read bars and state wishes; they never send orders."""
