"""Real orders at real venues: the signed way out, the gateway that loses and doubles nothing."""
