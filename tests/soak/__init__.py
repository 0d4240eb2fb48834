"""Long matrices: each too slow for every test run, each with a dated table of its last result in ``results/``."""
