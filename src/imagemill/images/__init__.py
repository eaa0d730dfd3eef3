"""Images as files and as pixels: each way of encoding, decoding or fitting one is here, once."""
