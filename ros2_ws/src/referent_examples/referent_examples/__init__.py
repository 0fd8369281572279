"""How other parts of a robot use Referent: examples to run, read and change."""
