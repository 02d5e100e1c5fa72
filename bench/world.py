"""Measure a world: `pulumi up`, a no-op, memory while it is made, and all scenarios with proof.

Prints each figure beside the bound that the project sets itself. Memory is the proportional set
size (PSS) of every process of the run, summed and sampled while it comes up: shared pages count
once. Figures are for two cores.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import psutil

from iamrange.range.deployment import Deployment, served
from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, run, workshop

SAMPLE_SECONDS = 0.2
MEBIBYTE = 1 << 20


class Memory(threading.Thread):
    """Samples the summed PSS of this process's descendants; keeps the peak."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        super().__init__(daemon=True)
        self.peak = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, used())

    def stop(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()


def used() -> int:
    """Return the PSS of all descendants of this process, in bytes."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return total


def figure(name: str, value: float, unit: str, bound: float) -> None:
    """Print one figure beside its bound."""
    held = "within" if value <= bound else "OVER"
    print(f"{name:34} {value:9.2f} {unit:4} bound {bound:7.2f}  {held}")


def main() -> int:
    """Measure and print."""
    print(f"cores: {os.cpu_count()}")
    progress = NoProgress()
    memory = Memory()
    with workshop(RunOptions(), progress) as tools:
        memory.start()
        began = time.monotonic()
        with Deployment.create(tools) as base:
            created = time.monotonic() - began
            memory.stop()
            settled = used()
            with served(tools, base.landing, base.world, base.engine):
                again = base.engine.up()
    figure("pulumi up of the lab stack", base.up_seconds, "s", 6.0)
    figure("pulumi up again, no change", again.seconds, "s", 2.0)
    figure("world, stack, agents and canaries", created, "s", 12.0)
    figure("memory of a world, peak in `up`", memory.peak / MEBIBYTE, "MiB", 400.0)
    figure("memory of a world, settled", settled / MEBIBYTE, "MiB", 400.0)
    result = run(RunOptions(), progress)
    figure("all scenarios with proof", result.seconds, "s", 60.0)
    return 0 if result.proved else 1


if __name__ == "__main__":
    sys.exit(main())
