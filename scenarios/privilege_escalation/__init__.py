"""Powers turned into greater powers."""
