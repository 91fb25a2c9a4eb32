"""Runs that wait: the ledger of a user's submissions, the policy that says which is next, the worker that starts it."""
