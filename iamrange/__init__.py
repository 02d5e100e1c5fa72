"""iamrange: a range for AI-agent identity, where every control is proved by taking it away."""

__version__ = "0.1.0"
