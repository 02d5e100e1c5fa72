"""The Vault package of the embedded provider: a clear refusal, until the range has a vault."""
