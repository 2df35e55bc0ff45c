"""The exceptions. Match on the class, never on the text. ``status`` is the number that the C interface
gives the same failure."""

from __future__ import annotations

from typing import ClassVar


class TrimtabError(Exception):
    """Whatever trimtab refuses. Raised as such only for an error newer than this binding."""

    status: ClassVar[int | None] = None


class InvalidArgumentError(TrimtabError, ValueError):
    """An argument that cannot be right. Nothing was changed."""

    status: ClassVar[int] = -2


class ExistsError(TrimtabError):
    """A backend of this name or address is in the pool already. Nothing was changed."""

    status: ClassVar[int] = -3


class NotFoundError(TrimtabError, LookupError):
    """There is no backend of this name or id (any more)."""

    status: ClassVar[int] = -4


class CapacityError(TrimtabError):
    """A named limit is reached. It can be tried again when something was given back."""

    status: ClassVar[int] = -5


class NoBackendError(TrimtabError):
    """No backend may take this connection now; the text says why, ``Pool.explain`` of each."""

    status: ClassVar[int] = -6


class StalePickError(TrimtabError):
    """The pick was reported done before, or is none of this pool's. Nothing was counted."""

    status: ClassVar[int] = -7


class PanicError(TrimtabError):
    """A bug in trimtab, caught. The pool is closed."""

    status: ClassVar[int] = -10


class ClosedError(TrimtabError):
    """The pool is closed."""

    status: ClassVar[int] = -11


class TimedOutError(TrimtabError, TimeoutError):
    """A wait reached its deadline; what was waited for goes on."""

    status: ClassVar[int] = -12


class IoError(TrimtabError, OSError):
    """The system refused something."""

    status: ClassVar[int] = -13


class ConfigError(TrimtabError, ValueError):
    """A configuration that cannot be; the text gives file, line, column and what to do."""

    status: ClassVar[int] = -14


class StateError(TrimtabError, RuntimeError):
    """The call does not fit the state: started twice, turned after its end."""

    status: ClassVar[int] = -15


class ForkedError(TrimtabError, RuntimeError):
    """The process forked since this was made; in the child it can only be let go."""

    status: ClassVar[int] = -16
