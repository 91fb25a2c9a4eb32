"""Who on this machine holds which GPU, across users, without server or root: flock in a directory that all can use."""
