"""Many runs on a cluster: the scheduler, Ray, plans, status, and the command line over all four rooms."""
