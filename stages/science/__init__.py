"""The science: data, models, training, theory. Nothing here imports a stage; only `storage` and `params` open files."""
