"""The page that shows what λ does: `contract.py` says what a study gives to it."""
