"""Three small services to stand behind the gateway: `make run` starts them with it."""
