"""Which diffusers pipeline serves which family and task, how it is loaded, how a picture is asked
of it.
"""
