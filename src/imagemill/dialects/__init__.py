"""Wire formats, one module each: words, read, write, routes. None imports another."""
