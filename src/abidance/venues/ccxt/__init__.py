"""Venues that have no dialect of their own, read through ccxt."""
