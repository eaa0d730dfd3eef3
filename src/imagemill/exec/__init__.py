"""`imagemill exec`: any program, with the hosted APIs that it calls answered here."""

from imagemill.exec.wrapped import Wish, run

__all__ = ["Wish", "run"]
