"""Wire formats, one module each: vocabulary, read, write, routes. None imports another."""
