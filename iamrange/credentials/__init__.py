"""Credentials: which vaults hold them, where else they lie, how they are replaced, what they open."""
