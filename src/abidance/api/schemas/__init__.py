"""What goes over the wire, by noun: money as decimal text, time in ms UTC, unknown keys refused."""
