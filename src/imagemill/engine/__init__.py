"""The engine: step-level continuous batching over stock diffusers pipelines. No torch is imported
here.
"""
