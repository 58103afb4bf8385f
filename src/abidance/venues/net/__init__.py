"""Connections to venues, whatever the venue: sockets, subscriptions, watchdogs, reconnects, rate budgets."""
