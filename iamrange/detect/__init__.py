"""What watches the range: the audit log."""
