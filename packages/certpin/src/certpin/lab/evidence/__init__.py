"""Evidence for an auditor: the reports of a run, with the facts and the digests to check them."""
