"""What a fleet of gateways shares: connections to Redis that never stand in a request's way."""
