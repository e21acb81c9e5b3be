"""How a stage and a tool speak to a person: the command line and progress. No result depends on it."""
