"""Credentials: the vaults that hold them, where else they lie, and how they are replaced."""
