"""`imagemill exec`: any program, with the hosted APIs that it calls answered here."""

from imagemill.exec.wrapped import ExecOptions, run

__all__ = ["ExecOptions", "run"]
