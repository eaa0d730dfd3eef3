"""fal: its hosts as path prefixes of one server.

`/fal/run` answers for fal.run, `/fal/queue` for queue.fal.run, `/fal/rest` for rest.fal.ai,
`/fal/cdn` for the CDN, `/fal/api` for api.fal.ai. Where fal documents a behaviour, or its clients
rely on one, it is kept.
"""

from imagemill.dialects.fal import proxy
from imagemill.dialects.fal.read import DIALECT
from imagemill.dialects.fal.routes import refuse, routes
from imagemill.dialects.fal.write import message

__all__ = ["DIALECT", "message", "proxy", "refuse", "routes"]
