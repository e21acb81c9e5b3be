"""The pipeline: one module a verb, which reads params and files, calls a study's part, and writes files.

Below the verbs: studies, then engine, theory and drawing, then base. Every import goes down.
"""

import os
import resource
import sys
from types import TracebackType

ADDRESS_SPACE = 2 * 2**30  # bytes; with less, torch's own libraries abort while they are loaded


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # Ctrl-C while a library is being imported is no crash
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's matrices are small here: sharing one out costs more than it saves
if 0 <= resource.getrlimit(resource.RLIMIT_AS)[0] < ADDRESS_SPACE:
    sys.exit("error: expected at least 2 GiB of address space, got less: ulimit -v unlimited")
