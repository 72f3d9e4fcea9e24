"""What a check says of an answer that is not right yet."""

__all__ = ["Hint"]


class Hint(Exception):
    """Raised by a check when an answer is not right yet; its message helps without telling."""
