"""Figures: their style, and what several studies draw alike. The only layer that imports matplotlib."""
