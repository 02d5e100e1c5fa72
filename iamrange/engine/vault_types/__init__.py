"""The Vault resource types of the embedded provider, on the HTTP interface of Vault and OpenBao."""
