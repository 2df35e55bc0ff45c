"""Takes a backend out of service without breaking a connection, retries elsewhere, and asks why.

Nothing is connected to: where a program would, this one prints.
"""

import trimtab
from trimtab import Admin, Backend, Outcome, Policy


def show(pool: trimtab.Pool, title: str) -> None:
    """Who would be picked next, and what became of each backend."""
    explanation = pool.explain()
    names = {backend["id"]: backend["name"] for backend in explanation["backends"]}
    print(f"{title}: next is {names.get(explanation['picked'] or 0, 'nobody')}")
    for backend in explanation["backends"]:
        print(f"    {backend['name']:<8}{backend['verdict']:<12}{backend['in_flight']} in flight")


def main() -> None:
    with trimtab.Pool(Policy.LEAST_CONNECTIONS, seed=0) as pool:
        blue, green, _spare = pool.add_all(
            [
                Backend("10.0.0.1:8080", name="blue", maxconn=100),
                Backend("10.0.0.2:8080", name="green", weight=2),
                Backend("10.0.0.3:8080", name="spare", tier=1),  # serves when no other can
            ]
        )
        long_lived = [pool.pick() for _ in range(6)]
        show(pool, "six connections open")

        # Drain: nothing new for green, and what it has goes on to its end.
        pool.set_admin(green, Admin.DRAIN)
        show(pool, "green drained")
        for pick in long_lived:
            pool.done(pick, Outcome.SUCCESS, first_byte=0.012, total=0.3)
        assert pool.backend(green).in_flight == 0
        pool.remove(green)

        # A backend that refuses: report it, tell the pool, and try one that was not tried yet.
        first = pool.pick()
        first.done(Outcome.CONNECT_FAILED, connect=0.001)
        pool.set_observed(blue, "down")
        second = pool.pick(avoid=[first.backend])
        print(f"tried {first.address}, then {second.address}")
        second.done(total=0.02)

        # Nobody left: the error says so, explain says why.
        pool.set_admin(pool.find("spare"), "maintenance")
        try:
            pool.pick()
        except trimtab.NoBackendError as error:
            print(error)
        show(pool, "nobody left")
        for told in pool.backends():
            print(f"{told.name}: {told.picks} picks, {told.success} good, {told.connect_failed} not reached")
        print(pool.statistics())


if __name__ == "__main__":
    main()
