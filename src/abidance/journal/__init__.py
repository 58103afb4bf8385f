"""What happened, kept: records, the append-only store, metrics, the report."""
