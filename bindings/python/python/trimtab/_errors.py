"""The exceptions. Match on the class, never on the text. ``status`` is the number that the C interface
gives the same failure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ._types import Problem


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
    """There is no backend, pool, listener or lease of this name or id (any more)."""

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
    """A bug in trimtab, caught; the call may have done something. The pool, server or store is closed."""

    status: ClassVar[int] = -10


class ClosedError(TrimtabError):
    """The pool, server or store is closed."""

    status: ClassVar[int] = -11


class TimedOutError(TrimtabError, TimeoutError):
    """A wait reached its end; what was waited for goes on. A write may be done, or not, or still be."""

    status: ClassVar[int] = -12


class IoError(TrimtabError, OSError):
    """The system refused something; the text says what. ``errno`` is the system's number for it, or None when
    it gave none."""

    status: ClassVar[int] = -13


class ConfigError(TrimtabError, ValueError):
    """A configuration that cannot be. Nothing was started."""

    status: ClassVar[int] = -14

    problems: list[Problem]
    """All that is wrong, in the order of the text; the text of the exception is the first."""

    def __init__(self, text: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = list(problems)


class StateError(TrimtabError, RuntimeError):
    """The call does not fit the state of the server or store: started twice, turned after its end, open
    already. Of a write with a ``request``: its answer is forgotten, or is that of another operation."""

    status: ClassVar[int] = -15


class ForkedError(TrimtabError, RuntimeError):
    """The server or store is the parent's, and this is a child made by fork: it can close it, and make its
    own."""

    status: ClassVar[int] = -16


class UnsupportedError(TrimtabError, NotImplementedError):
    """What was asked for, or what lies on disk, is of a kind this release does not know."""

    status: ClassVar[int] = -17


class CorruptError(TrimtabError, ValueError):
    """Data on disk are not what was written there. Nothing was changed."""

    status: ClassVar[int] = -18


class NotPrimaryError(TrimtabError, RuntimeError):
    """This node is not the cluster's primary; the message names who is, where that is known. Nothing was
    changed."""

    status: ClassVar[int] = -20


class NoQuorumError(TrimtabError, RuntimeError):
    """No primary holds a quorum of the cluster at present. Nothing was changed."""

    status: ClassVar[int] = -21


class SupersededError(TrimtabError, RuntimeError):
    """Another primary's writes took the place of this one: it was not done, and will not be."""

    status: ClassVar[int] = -22


class UnknownOutcomeError(TrimtabError, RuntimeError):
    """The primary was lost before it said what came of a write: it may have been done, or still be. One with
    a ``request`` may be sent again with it, and is not done twice; ``Store.outcome`` tells too. Without, only
    what is there tells."""

    status: ClassVar[int] = -23
