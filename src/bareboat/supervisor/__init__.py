"""The small process beside each container: its control socket, and what others ask of it there."""
