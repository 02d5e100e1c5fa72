"""Credentials: the vaults that hold them, where else they lie, how they are replaced, and how much
of what they open is needed.
"""
