"""What is compared: one file, one method; plain torch, no Ray, no files, no suites.

`mapbench list methods` prints them; methods/base.py holds the contract; methods/sa_map.py is a good one to copy.
"""


class MethodError(ValueError):
    """A method breaks its contract, or reaches for data its scenario does not allow: one line that says which."""


class UndeclaredError(MethodError):
    """A method reached for data that its `needs` does not declare."""
