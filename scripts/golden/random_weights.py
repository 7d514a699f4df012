"""Makes weights from a seed by the rule of `--weights random:SEED`: a value depends only on seed, tensor name and index.

base   = mix(seed ^ fnv1a64(name)); bits_i = mix(base + (i + 1) * 0x9E3779B97F4A7C15), all modulo 2^64
u_i    = double(bits_i >> 40) / 2^23 - 1, in [-1, 1)
value  = center + a * u_i in double, rounded to float32, then to bfloat16 (nearest even both times)
rank 1, *.bias: center 0, a 0.1; other rank 1 (norm weights): center 1, a 0.25;
rank >= 2: center 0, a sqrt(3 / fan_in), fan_in the product of all dimensions but the first.
"""

import math

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def fnv1a64(name):
    value = 14695981039346656037
    for byte in name.encode("utf-8"):
        value = ((value ^ byte) * 1099511628211) & MASK
    return value


def mix(z):
    """The finalizer of splitmix64, on a uint64 array; products wrap."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(name, count, seed):
    """u_0 … u_(count-1) as doubles."""
    base = mix(np.array([(seed ^ fnv1a64(name)) & MASK], dtype=np.uint64))
    index = np.arange(1, count + 1, dtype=np.uint64)
    bits = mix(base + index * np.uint64(GOLDEN))
    return (bits >> np.uint64(40)).astype(np.float64) / 8388608.0 - 1.0


def center_and_range(name, shape):
    if len(shape) == 1:
        return (0.0, 0.1) if name.endswith(".bias") else (1.0, 0.25)
    return 0.0, math.sqrt(3.0 / math.prod(shape[1:]))


def to_bf16_bits(values):
    """float32 -> bfloat16 bits (uint16), nearest even; the values are finite."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def tensor_bits(name, shape, seed):
    """The tensor's bfloat16 bits in row-major order, as uint16 [shape]."""
    center, a = center_and_range(name, shape)
    values = center + a * uniform(name, math.prod(shape), seed)
    return to_bf16_bits(values).reshape(shape)


def check_values(names_and_shapes, seed):
    """First eight values of each tensor as bf16 hex, for the manifest."""
    return [
        {"name": name, "shape": list(shape), "seed": seed,
         "bf16": [f"{bits:04x}" for bits in tensor_bits(name, shape, seed).ravel()[:8].tolist()]}
        for name, shape in names_and_shapes
    ]
