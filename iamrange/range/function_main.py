"""What a function's process runs: it loads the handler, calls it, and says what came of it.

Run as a script in a folder that holds the function's code: the event comes on standard input, the
answer goes out on the descriptor that standard output was; what the code prints goes nowhere.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from types import SimpleNamespace

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Call the handler named by the one argument, for as many seconds as the other says."""
    handler, seconds = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.alarm(int(seconds))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    event = json.load(sys.stdin)
    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 - a path's text
    module, _, function = handler.rpartition(".")
    try:
        call = getattr(importlib.import_module(module.replace("/", ".")), function)
        outcome = {"returned": call(event, SimpleNamespace(function_name=os.environ["FUNCTION"]))}
        text = json.dumps(outcome)
    except Exception as error:  # noqa: BLE001 - whatever the function raises is its answer
        text = json.dumps({"raised": type(error).__name__})
    answer.write(text)
    answer.close()


if __name__ == "__main__":
    main()
