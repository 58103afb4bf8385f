"""The one loop: state first, then strategies, risk, execution."""
