"""The pipeline: one module a verb, which reads params and files, calls a study's part, and writes files.

Below the verbs: studies, then engine, measure and drawing, then theory, then base. Every import goes down.
"""

import os
import resource
import sys
from types import TracebackType

ADDRESS_SPACE = 2 * 2**30  # bytes; with less, torch's own libraries abort while they are loaded
PACKAGES = {"dvc", "matplotlib", "msgspec", "numpy", "PIL", "scipy", "sklearn", "torch", "tqdm", "vl_convert", "yaml"}
ENTERED = "`make repro` installs it, `. .venv/bin/activate` enters it"

if sys.version_info < (3, 11):  # noqa: UP036 # whatever `python` is where the environment is not activated
    sys.exit(f"error: expected the project's environment, got Python {sys.version.split()[0]}: {ENTERED}")


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in a line that a package is missing. Ctrl-C while one is being imported is no crash."""
    if isinstance(error, ModuleNotFoundError) and error.name in PACKAGES:
        told = f"expected the project's environment, got {sys.executable}, which has no {error.name}"
        print(f"error: {told}: {ENTERED}", file=sys.stderr)
    elif not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _hook
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's matrices are small here: sharing one out costs more than it saves
if 0 <= resource.getrlimit(resource.RLIMIT_AS)[0] < ADDRESS_SPACE:
    sys.exit("error: expected at least 2 GiB of address space, got less: ulimit -v unlimited")
