"""What the Makefile runs. What sets up needs the standard library alone; the rest runs in .venv."""
