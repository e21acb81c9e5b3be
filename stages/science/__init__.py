"""The science: data, models, training, theory. Nothing here knows DVC; only `storage` and `params` open files."""
