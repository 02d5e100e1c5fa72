"""Tokens and sessions used where they were not issued for."""
