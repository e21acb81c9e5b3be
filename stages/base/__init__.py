"""What everything else stands on: files, params.yaml, random streams, rounding, the error that a user reads. No torch."""
