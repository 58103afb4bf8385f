"""The only code that talks to an exchange or a chain, real or simulated."""
