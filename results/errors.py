"""The one exception of this package: what a user can put right, in one line."""


class StoreError(ValueError):
    """A run directory that cannot be read or written. The message is one line: what, where, what to do."""
