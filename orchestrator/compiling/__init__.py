"""What the real TPU compiler says of a run before anything is reserved: memory, traffic, arithmetic, communication.

The compiler is the public wheel `libtpu`, which needs no TPU; it runs in a process of its own. Nothing here runs a
program, and nothing outside of that process imports JAX.
"""
