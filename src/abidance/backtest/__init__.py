"""Backtests: the event engine over a replay, and the result that every executor returns."""
