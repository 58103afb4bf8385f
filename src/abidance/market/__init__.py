"""From raw events to what strategies read: bars, feeds, quality, the store."""
