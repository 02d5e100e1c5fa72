"""Vaults: the range's own OpenBao, and one way to read secrets from whichever vault holds them."""
