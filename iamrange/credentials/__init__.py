"""Credentials: what agents hold and may do, and how much of it they need."""
