"""SAM 2's parts as plain functions of tensors: the official weights, the official arithmetic, none of the waste.

The official modules recompute what never changes, pad windows before they project them and rotate in complex numbers;
here the constants are folded into the weights once. Sums are taken in another order: results differ in the last bits.
"""
