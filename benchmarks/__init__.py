"""What a request costs: this gateway beside nginx, haproxy and caddy, and where in the gateway the time goes."""
