"""The rules that decide. ``select`` is a policy's only I/O, ``plan`` is pure."""
