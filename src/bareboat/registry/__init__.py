"""Where images come from and go to: registries (distribution-spec 1.1), OCI layouts on disk, Docker's daemon."""
