"""Secrets read and keys minted that should stay out of reach."""
