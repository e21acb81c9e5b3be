"""What is known without training, and the statistics that compare it with what was trained. NumPy alone."""
