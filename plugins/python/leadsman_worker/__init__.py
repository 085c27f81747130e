"""The worker of the Python runtime: loads one model and answers the server over shared memory."""
