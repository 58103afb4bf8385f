"""Risk turns wishes into `Approved` or `Refused`: sizing, limits, breakers. Nothing trades around it."""
