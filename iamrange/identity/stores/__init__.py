"""What verifiers must remember: used proofs, revocations, rates. Ports and their adapters."""
