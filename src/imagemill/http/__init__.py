"""What HTTP asks of every dialect alike: bodies, callers, hang-ups, streams, files."""
