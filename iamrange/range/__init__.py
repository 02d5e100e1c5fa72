"""range."""
