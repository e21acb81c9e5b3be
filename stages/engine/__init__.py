"""Training: many runs at once, with any model, loss, optimiser and decay. The only layer that imports torch."""

from stages.engine import machine

machine.one_core_an_operation()
machine.keep_freed_memory()
