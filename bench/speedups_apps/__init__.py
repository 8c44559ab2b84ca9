"""The programs of bench/speedups.py: one module for each library, and what drives them."""
