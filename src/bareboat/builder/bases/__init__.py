"""Images as bases: what is found inside one, without running anything of it."""
