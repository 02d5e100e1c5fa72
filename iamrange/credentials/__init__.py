"""Credentials: which vaults hold them, where else they lie, how they change, what they open."""
