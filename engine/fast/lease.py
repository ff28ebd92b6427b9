"""Memory that lies at one address for ever, and is lent to one tenant at a time."""

import weakref
from typing import Protocol


class Tenant(Protocol):
    """Who works in lent memory, and comes to be asked for it."""

    def put_by(self) -> None:
        """Another takes the memory over: keeps a copy of what is in it, to go on from later."""


class Lease:
    """Who has the memory.

    All worlds of a model share it, so a new one neither takes new memory nor has graphs recorded anew. A world that
    was left and is still known puts its part by when the next takes over, and brings it back when it is played on.
    """

    def __init__(self) -> None:
        self._tenant: weakref.ref[Tenant] | None = None

    def elsewhere(self, tenant: Tenant) -> bool:
        """Whether somebody else works in it now."""
        return self._tenant is not None and self._tenant() not in (None, tenant)

    def to(self, tenant: Tenant) -> bool:
        """Lends it to `tenant`. Returns whether it was not `tenant`'s: then what it holds is another's."""
        holder = None if self._tenant is None else self._tenant()
        if holder is tenant:
            return False
        if holder is not None:
            holder.put_by()
        self._tenant = weakref.ref(tenant)
        return True
