"""Rotation: on schedule and on incident, with proof that the old value is dead."""
