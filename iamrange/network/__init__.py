"""A world's network: names, a certificate authority, TLS edges and CONNECT proxies.

- Clients run unmodified on their default hostnames; only environment variables are set.
- Listeners are on loopback only; ports are picked by the kernel.
- The source of a request is the peer address of its connection, never a forwarded header.
"""
