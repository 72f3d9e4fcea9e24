"""The support package of *A History of Fine-Tuning*: one module, one concern.

Start reading at `runtime` (what a run is), then `assets` (where bytes come from), `data` (the
reviews and their splits), `evaluation` (a number and its interval) and `ledger` (where it is kept).
"""

import logging

__all__ = ["setup"]
__version__ = "0.1.0"

# Loaded by peft wherever it is installed, it would ask everyone for faster kernels.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def __getattr__(name: str):
    """Load `setup` only when a notebook asks for it, so that `import helpers` stays instant."""
    if name == "setup":
        from helpers.runtime import setup

        return setup
    raise AttributeError(f"module 'helpers' has no attribute {name!r}")
