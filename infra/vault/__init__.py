"""The vault: where agents fetch at run time what they need, and keep nothing."""
