"""A world, its processes, and the clouds alone: everything that starts, forks and ends.

- Every process dies with its parent; what a crash leaves behind, the next start sweeps.
- Nothing listens anywhere but on loopback; control channels are private unix sockets.
"""
