"""Room: speech to instructions. Audio chunks go in, whole sentences with a confidence come out."""
