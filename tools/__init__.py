"""What `make` calls beside the pipeline: the gate, the comparison of results, the way back, the site, the benchmark."""
