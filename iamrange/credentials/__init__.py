"""Credentials: where they come from, where they lie around, and how they are changed."""
