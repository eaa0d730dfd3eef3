"""How the embedded model came to be: pictures, captions, trainers, evaluation. See LOG.md."""
