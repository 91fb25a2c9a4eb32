"""What belongs to sessions: containers that people work in, for hours or days, and leave without losing anything."""
