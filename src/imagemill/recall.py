"""Recall: finished pictures that are kept, and given again to the caller who asks for the same."""

from dataclasses import dataclass, replace

from imagemill import files
from imagemill.files import Cache
from imagemill.generation import Painted
from imagemill.orders import Answer, Order
from imagemill.telemetry import Telemetry
from imagemill.threads import DISK


@dataclass(frozen=True)
class Recall:
    cache: Cache
    telemetry: Telemetry

    async def find(self, order: Order) -> tuple[Order, Answer | None]:
        """What was painted for an order before, if that will do; the order has the seed of that."""
        if not order.cacheable:
            return order, None
        if order.drawn:
            seed = await DISK.run(self.cache.get, order.unseeded)
            if seed is not None:
                order = replace(order, generation=replace(order.generation, seed=int(seed)))
        content = await DISK.run(self.cache.get, order.seeded)
        if content is None:
            return order, None
        self.telemetry.cache.labels("hit").inc()
        return order, Answer(files.unpack(content), order.generation.seed, hit=True)

    def missed(self, order: Order) -> None:
        """Counts an order that is painted, as nothing is kept for it."""
        if order.cacheable:
            self.telemetry.cache.labels("miss").inc()

    async def keep(self, order: Order, painted: Painted) -> None:
        await DISK.run(self.cache.put, order.seeded, files.pack(painted))
        if order.drawn:
            await DISK.run(self.cache.put, order.unseeded, str(order.generation.seed).encode())
