"""Certificates of agents and services: X.509-SVIDs, their authority, and what clients present.

- The authority is a port; a local one is the first adapter.
- A chain that a client presents is judged here and nowhere else, against our own bundle.
- A client certificate reaches a service from the TLS listener alone, never from a client's header.
"""
