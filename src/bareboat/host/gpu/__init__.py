"""GPUs of this machine: which there are, who uses them, and what of their driver a container needs."""
