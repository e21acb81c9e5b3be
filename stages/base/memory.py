"""How much memory this machine has."""

import os
import resource

from stages.base.errors import UserError


def memory() -> int:
    """This machine's memory in bytes, or what `ulimit -v` leaves of it."""
    physical, allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), resource.getrlimit(resource.RLIMIT_AS)[0]
    return physical if allowed == resource.RLIM_INFINITY else min(physical, allowed)


def must_fit(needed: int, place: str, what: str) -> None:
    """Raise UserError where so many bytes are more than this machine's memory. `what` is the product that makes them."""
    there = memory()
    if needed > there:
        sizes = f"at most {there / 2**30:.3g} GiB, this machine's memory, got about {needed / 2**30:.3g} GiB"
        raise UserError(f"params.yaml: {place}: expected {what} of {sizes}")
