"""What the Makefile runs. Only the standard library, so that it runs before anything is set up."""
