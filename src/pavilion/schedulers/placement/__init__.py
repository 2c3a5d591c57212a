"""Which nodes a test may have, and which job it goes into: pure, without I/O."""
