"""`python -m imagemill` is the command `imagemill`."""

from imagemill.cli import app

app(prog_name="imagemill")
