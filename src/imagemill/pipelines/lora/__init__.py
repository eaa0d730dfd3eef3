"""LoRAs: read in the layouts that people hold, and added to the rows that want them."""
