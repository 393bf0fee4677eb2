"""A request that cannot be met, as the user should read it: what, the value, what is allowed, the fix."""


class RequestError(ValueError):
    """One line for the user, or one a mistake; the command line prints it and exits with status 2."""


class ClusterLostError(RuntimeError):
    """Ray itself went away under a launch; the command line prints it and exits with status 1."""
