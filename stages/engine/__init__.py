"""Training: many runs at once, with any model, loss, optimiser and decay. The only layer that imports torch."""
