"""Several steps as one."""

from __future__ import annotations

from datetime import timedelta
from types import EllipsisType
from typing import TYPE_CHECKING, final

from ._enums import Durability, Relation
from ._store_types import BytesLike, Request
from ._trimtab import Operation, StoreResult

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._aio_store import AsyncStore
    from ._cluster_types import AtLeast
    from ._store import Store


class TransactionBuilder:
    """What a transaction is made of: conditions, and steps for when all of them hold and for when not."""

    def __init__(self) -> None:
        self._conditions: list[tuple[BytesLike, Relation | int | str, str, BytesLike | int]] = []
        self._then: list[Operation] = []
        self._otherwise: list[Operation] = []
        self._proceed = False

    def when(
        self,
        key: BytesLike,
        relation: Relation | int | str = Relation.EQUAL,
        *,
        version: int | None = None,
        created: int | None = None,
        changes: int | None = None,
        lease: int | None = None,
        value: BytesLike | None = None,
    ) -> Self:
        """Adds a condition: ``when(b"k", version=3)``, ``when(b"k", "<", value=b"5")``.

        - relation: how what the key has is to stand to what is given: a Relation, or ``==``, ``!=``, ``<``,
          ``>``.
        - version, created, changes, lease (0: none), value: what is compared; one of them. Numbers of a key
          that is not there are 0, so ``version=0`` asks for that; its value is less than any.
        """
        given = {
            "version": version,
            "created": created,
            "changes": changes,
            "lease": lease,
            "value": value,
        }
        named = [(name, with_) for name, with_ in given.items() if with_ is not None]
        if len(named) != 1:
            raise TypeError("when() wants one of version, created, changes, lease and value")
        name, operand = named[0]
        self._conditions.append((key, relation, name, operand))
        return self

    def then(self, *operations: Operation) -> Self:
        """Adds steps that are done when all conditions hold; without conditions they do."""
        self._then.extend(operations)
        return self

    def otherwise(self, *operations: Operation) -> Self:
        """Adds steps that are done when not all conditions hold."""
        self._otherwise.extend(operations)
        return self

    def proceed(self, proceed: bool = True) -> Self:
        """Has the other steps done when one is refused (a value that is no number); its result then has an
        ``error``. Otherwise nothing of the transaction is done, and the refusal is raised."""
        self._proceed = proceed
        return self

    def operation(self) -> Operation:
        """It as an operation, for ``Store.execute`` or a queue. Raises what is wrong with its parts."""
        return Operation._transaction(
            self._conditions, self._then, self._otherwise, proceed=self._proceed
        )


@final
class Transaction(TransactionBuilder):
    """A transaction on a store; ``Store.transaction`` makes one.

        result = (
            store.transaction()
            .when(b"from", ">", value=b"0")
            .then(Operation.increment(b"from", -1), Operation.increment(b"to", 1))
            .otherwise(Operation.get(b"from"))
            .commit()
        )
        if result:
            print([step.number for step in result.steps])

    All steps are seen, or none. It may be committed again. One thread at a time may change it.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def commit(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        timeout: float | timedelta | EllipsisType | None = ...,
        request: Request | None = None,
    ) -> StoreResult:
        """Does it. The result is true if all conditions held; its ``steps`` have what came of each step.
        Keywords, and what it raises, as for ``Store.put``."""
        return self._store.execute(
            self.operation(), durability=durability, timeout=timeout, request=request
        )


@final
class AsyncTransaction(TransactionBuilder):
    """A ``Transaction`` for asyncio; ``AsyncStore.transaction`` makes one."""

    def __init__(self, store: AsyncStore) -> None:
        super().__init__()
        self._store = store

    async def commit(
        self,
        *,
        durability: Durability | AtLeast | int | str | None = None,
        request: Request | None = None,
    ) -> StoreResult:
        """Does it, as ``Transaction.commit`` does."""
        return await self._store.execute(self.operation(), durability=durability, request=request)
