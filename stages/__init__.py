"""The pipeline's doors: one module a DVC stage. They read params and files, call the science, write files."""

import sys
from types import TracebackType


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # Ctrl-C while a library is being imported is no crash
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
