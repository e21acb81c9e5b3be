"""The pipeline's doors: one module a DVC stage. They read params and files, call the science, write files."""

import resource
import sys
from types import TracebackType

ADDRESS_SPACE = 2 * 2**30  # bytes; with less, torch's own libraries abort while they are loaded


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # Ctrl-C while a library is being imported is no crash
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
if 0 <= resource.getrlimit(resource.RLIMIT_AS)[0] < ADDRESS_SPACE:
    sys.exit("error: expected at least 2 GiB of address space, got less: ulimit -v unlimited")
