"""How a stage and a tool speak to a person: the command line, progress, provenance. No result depends on it."""
