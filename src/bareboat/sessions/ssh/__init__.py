"""SSH into a container without a server in its image: a gateway that speaks SSH outside and starts programs inside."""
