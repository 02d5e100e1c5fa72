"""Redaction: what logs, records and reports may hold of what others gave."""
