"""Trivial rules that stand on every board, so that a method can be seen to beat nothing-much (`control = True`)."""
