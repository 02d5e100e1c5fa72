"""Trust in issuers turned against the account that gave it."""
