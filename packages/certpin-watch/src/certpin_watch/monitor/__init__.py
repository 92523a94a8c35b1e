"""The monitor: asks every watched host what it serves, from one vantage or from many."""
