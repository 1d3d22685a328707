"""How many CPU threads pay: no more than this process may use at once.

ONNX Runtime counts the machine's cores. In a container or under `taskset` a process has fewer of them, and
threads beyond those wait for each other.
"""

import os
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def chosen_threads(given: int | None) -> int:
    """The threads given; else as many as this process may use CPUs, or 0, which is all, without a limit."""
    if given is not None:
        return given
    everything = os.cpu_count() or 1
    allowed = min(_affinity(everything), _quota(everything))
    return allowed if allowed < everything else 0


def _affinity(everything: int) -> int:
    """CPUs that `taskset` and the like leave; not all systems have it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everything


def _quota(everything: int) -> int:
    """Whole CPUs that fit into the CPU time of the control groups this process is in, at least 1."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return everything
    shares = [float(everything)]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # Version 1 has a tree for each set of controllers, version 2 one for all.
        if controllers and "cpu" not in controllers.split(","):
            continue
        tree = CONTROL_GROUPS / controllers
        inner = tree / path.lstrip("/")
        # A group is bound by those that it is in. In a container only the tree's top may be in sight.
        shares += [_share(group) for group in (inner, *inner.parents) if group.is_relative_to(tree)]
    return max(1, int(min(shares)))


def _share(group: Path) -> float:
    """CPU time of a group in CPUs; infinite where it has no quota."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else float("inf")
    except (OSError, ValueError):  # none, or "max"
        return float("inf")
