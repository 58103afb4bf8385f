"""How the entries of a strategy are executed."""

from typing import Annotated

from pydantic import Field

from abidance.kernel.config import Config


class ExecutionConfig(Config):
    """How entries are executed. Exits and protective stops are never delayed by it."""

    max_cost: Annotated[float, Field(gt=0, le=1)] | None = None
    """Largest expected cost of an entry (slippage by the book, the quote or the model, and fees) as a share of its
    value; an entry that would cost more is refused."""
