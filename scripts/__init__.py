"""The programs that the Makefile runs. Set-up scripts use only the standard library."""
