"""What everybody stands on: ports, clock, ids, configuration, structured log."""
