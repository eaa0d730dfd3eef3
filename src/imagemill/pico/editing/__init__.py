"""Edits of pico: an instruction and images become one that shows the change, a mask of what is to
be repainted, and the looks that the transformer's sketch is drawn from.
"""

from imagemill.pico.editing.editor import Editor, EditPlan

__all__ = ["EditPlan", "Editor"]
