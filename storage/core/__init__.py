"""Values, errors, settings and protocols that everything else is made of."""
