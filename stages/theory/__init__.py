"""Formulas with their sources: what is known without training. Nothing here reads a run."""
