"""Where models come from: what a file is by its keys, how it is loaded, and that nothing of it is
missing.
"""
