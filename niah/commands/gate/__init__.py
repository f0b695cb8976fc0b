"""The verb ``gate``: a policy's bounds against a run, GO, NO-GO or INCONCLUSIVE."""
