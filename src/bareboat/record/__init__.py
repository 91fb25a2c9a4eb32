"""The account of a run: its values, states, what is kept out of it, and how two of them compare. Pure."""
