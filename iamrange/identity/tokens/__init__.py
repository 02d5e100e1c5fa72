"""The OAuth 2.0 authorization server for our own services: short tokens, bound to their holder.

- It never issues a refresh token, and never a token that a cloud accepts.
- A store that is away is a refusal: no token is issued on what could not be asked.
- An answer never tells which agents exist; the record does.
"""
