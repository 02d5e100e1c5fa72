"""Attacks by agents that nobody approved, or that are no longer approved."""
