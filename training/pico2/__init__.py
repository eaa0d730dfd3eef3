"""How pico's second generation came to be: drawings, the teacher that composes them, training."""
