"""How properties are searched: widely by whoever develops, the same each time where it decides.

- `HYPOTHESIS_PROFILE=steady`, as CI has it: a property that holds here holds there. Whoever works
  on the code searches at random, and finds what the steady search has not.
- No deadline: no test asserts on wall-clock time.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("steady", deadline=None, print_blob=True, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
