"""What `make` calls beside the pipeline: the gate, the report and its comment, pictures of experiments, the benchmark."""
