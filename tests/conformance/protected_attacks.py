"""Attacks on a protected resource, as data: the oracle's rows, and the right verdict of each.

- `row` is the row of the table of attacks on tokens that a case belongs to; 0: our own.
- A case changes one thing of a call that is admitted.
"""

from __future__ import annotations

from tests.conformance.protected_attacks_claims import CLAIMS
from tests.conformance.protected_attacks_jose import JOSE
from tests.conformance.protected_attacks_lifecycle import LIFECYCLE
from tests.conformance.protected_attacks_proofs import PROOFS

CASES = [*JOSE, *CLAIMS, *PROOFS, *LIFECYCLE]
ROWS = frozenset({1, 2, 3, 5, 7, 9, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26, 27, 29, 30, 31})
ROWS |= {33, 35, 38, 39, 41, 42, 43, 45, 46, 47, 49, 63, 67, 69, 71, 73}
"""The oracle's rows that are here; 10, 34 and 37 need more than one call: their tests are apart."""
