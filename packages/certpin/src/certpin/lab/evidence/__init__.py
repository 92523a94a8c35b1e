"""Evidence for an auditor: the reports of a lab run, and the facts and digests to verify them."""
