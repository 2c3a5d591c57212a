"""A job from its plan to its end: submission, identity, what its scheduler says of it, and what its
end means for its tests."""
