"""`Coverage`: functional coverage, bins that are defined before a run and counted in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Coverage"]


class Coverage:
    """Counts of what happened in a run, in groups of bins; what was defined and never happened is a hole.

    Parameters
    ----------
    groups : mapping of str to iterable of str
        The bins of each group.
    """

    def __init__(self, groups: Mapping[str, Iterable[str]]):
        self.counts = {group: dict.fromkeys(bins, 0) for group, bins in groups.items()}

    def hit(self, group: str, name: str) -> None:
        """Count a bin.

        Raises
        ------
        KeyError
            If it was not defined: it should have been impossible.
        """
        self.counts[group][name] += 1

    def has(self, group: str, name: str) -> bool:
        """Whether there is such a bin."""
        return name in self.counts.get(group, {})

    @classmethod
    def of_counts(cls, counts: Mapping[str, Mapping[str, int]]) -> Coverage:
        """Coverage with these counts."""
        coverage = cls(counts)
        coverage.counts = {group: dict(bins) for group, bins in counts.items()}
        return coverage

    @property
    def bins(self) -> int:
        """How many are defined."""
        return sum(map(len, self.counts.values()))

    @property
    def holes(self) -> list[str]:
        """Those never hit, as `group: bin`."""
        return [f"{group}: {name}" for group, bins in self.counts.items() for name, count in bins.items() if not count]

    def __str__(self) -> str:
        lines = []
        for group, bins in self.counts.items():
            hit = sum(map(bool, bins.values()))
            missing = ", ".join(name for name, count in bins.items() if not count)
            lines.append(f"  {group}: {hit} of {len(bins)}" + (f"; holes: {missing}" if missing else ""))
        return f"coverage: {self.bins - len(self.holes)} of {self.bins} bins\n" + "\n".join(lines)
