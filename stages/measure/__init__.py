"""From trained runs to means, standard errors, tables and sentences. NumPy alone."""
