"""Real parts for wire tests: a scripted origin, the gateway under uvicorn, and clients that speak exact bytes."""
