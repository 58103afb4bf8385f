"""A simulated venue: fills, costs, latency, filters, margin. It serves backtests and paper trading alike."""
