"""Random generators that the user's module makes without a seed: each lane gets numbers of its own from them.

Input: the import of the user's module. Output: the generators that it made from the system's randomness, and in each
lane that is forked afterwards, new numbers in every one of them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import random
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_numpy_bits = "numpy.random.bit_generator"


class Unseeded:
    """The generators without a seed, once `watch` is over.

    Attributes:
        cannot_reseed: what was made from one of them and cannot be made again, or None.
    """

    def __init__(self) -> None:
        self._randoms: dict[int, random.Random] = {}
        self._entropies: set[int] = set()
        self._numpy: list[Any] = []
        self._sequences: list[Any] = []
        self._numpy_is_users = False
        self.cannot_reseed: str | None = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """While the block runs, note which generators are made, and how."""
        with self._watch_python(), self._watch_numpy():
            yield
        self._find_numpy()

    @contextlib.contextmanager
    def _watch_python(self) -> Iterator[None]:
        seed = random.Random.seed

        def noted(generator: random.Random, a: Any = None, version: int = 2) -> None:
            seed(generator, a, version)
            if a is None:
                self._randoms[id(generator)] = generator
            else:
                self._randoms.pop(id(generator), None)

        random.Random.seed = noted  # type: ignore[method-assign, assignment]  # until the import is over
        try:
            yield
        finally:
            random.Random.seed = seed  # type: ignore[method-assign]  # see above

    @contextlib.contextmanager
    def _watch_numpy(self) -> Iterator[None]:
        """Note each number that numpy takes from the system to seed something."""
        if "numpy" not in sys.modules or importlib.util.find_spec(_numpy_bits) is None:
            yield
            return
        module: Any = importlib.import_module(_numpy_bits)
        randbits = module.randbits

        def noted(bits: int) -> int:
            entropy: int = randbits(bits)
            self._entropies.add(entropy)
            return entropy

        module.randbits = noted
        try:
            yield
        finally:
            module.randbits = randbits

    def _find_numpy(self) -> None:
        numpy_random: Any = sys.modules.get("numpy.random")
        if numpy_random is None:
            return
        shared = numpy_random.mtrand._rand._bit_generator
        self._numpy_is_users = shared.seed_seq is None  # numpy.random.seed(42): it is said at allocate
        if not self._entropies:
            return
        kinds = (numpy_random.BitGenerator, numpy_random.SeedSequence)
        found = [one for one in gc.get_objects() if isinstance(one, kinds)]
        self._numpy = [one for one in found if isinstance(one, kinds[0]) and self._is_unseeded(one.seed_seq)]
        owned = {id(one.seed_seq) for one in self._numpy}
        sequences = [one for one in found if isinstance(one, kinds[1]) and self._is_unseeded(one)]
        self._sequences = [one for one in sequences if id(one) not in owned]
        if (stats := sys.modules.get("scipy.stats.qmc")) is not None:
            engines = [one for one in gc.get_objects() if isinstance(one, stats.QMCEngine)]
            if any(self._is_unseeded(one.rng.bit_generator.seed_seq) for one in engines):
                self.cannot_reseed = "a scipy.stats.qmc engine without a seed"

    def _is_unseeded(self, sequence: Any) -> bool:
        return sequence is not None and sequence.entropy in self._entropies

    def reseed(self) -> None:
        """In a lane that was forked: have each of them draw numbers that no other process draws."""
        for generator in self._randoms.values():
            generator.seed()
        for bits in self._numpy:
            fresh = type(bits)()
            state = fresh.__reduce__()[2]
            bits.__setstate__(state) if state is not None else setattr(bits, "state", fresh.state)
        for sequence in self._sequences:
            sequence.__init__()
        if "numpy.random" in sys.modules and not self._numpy_is_users:
            sys.modules["numpy.random"].seed()
