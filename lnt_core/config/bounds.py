"""Bounds that several configs share: far above what anyone needs, below what exhausts a machine."""

from typing import Annotated

from pydantic import Field

MAX_SEED = 2**32 - 1
"""NumPy's global generator, which libraries draw from, takes no larger seed."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
MAX_TOKENS = 2**20
"""No open model has a longer context window than about a million tokens."""
MAX_BATCH = 2**20
"""Samples; the largest batches of published pretraining have some tens of thousands."""
