"""Wire formats, one module each: words, read, write, routes. None imports another.

`wire` is what HTTP itself asks of each of them: bodies, hang-ups, headers.
"""
