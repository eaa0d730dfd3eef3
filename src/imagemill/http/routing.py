"""The routes of several routers as one list."""

from fastapi import APIRouter


def join_routes(router: APIRouter, *others: APIRouter) -> None:
    """Gives a router the routes of others, as they are, behind its own.

    `include_router` would build each of them anew, and look through each level of routers twice at
    every call. It would also take over the prefix, the tags and the lifespan, which whoever joins
    routes sees to.
    """
    for each in others:
        router.routes.extend(each.routes)
