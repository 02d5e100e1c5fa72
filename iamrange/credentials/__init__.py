"""Credentials that lie somewhere: where, whose, how old, and how they are replaced."""
