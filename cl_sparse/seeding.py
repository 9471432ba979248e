"""Seeds for every random choice, derived from one stored seed.

Deriving a seed from (run seed, what it is for, which task) instead of storing generator states makes every random
choice reproducible on its own: a run that resumes at task 7 draws what an uninterrupted run draws at task 7.
"""

import hashlib


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on the run's ``seed`` and on what the random numbers are for.

    Args:
        seed: the run's seed, as stored in the result.
        purpose: names and indices that tell this choice from all others, e.g. ``"shuffle", task, epoch``.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
