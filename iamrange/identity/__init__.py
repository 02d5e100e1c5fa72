"""Who an agent is: the directory, the issuer that clouds trust, the broker of short sessions.

- An agent proves itself with its own key; the issuer signs assertions for clouds, and those only.
- Nobody but the agent holds its private key; nobody but the issuer holds the issuer's.
"""
