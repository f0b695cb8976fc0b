"""The one exception a user is meant to read."""


class NiahError(Exception):
    """Something the user can mend; printed as one line, exit code 1, no traceback.

    Write it as ``where: what is wrong; got ...; expected ...; what to do``.
    """


class EngineStoppedError(NiahError):
    """An open engine answers no more: another one, opened anew, may."""
