"""Replay points, or show a node's steps: `python -m faults kill:plain:hub:17`, `python -m faults trace:plain:hub`."""

import sys

from faults.points import Range


def main() -> int:
    bad = 0
    with Range() as range_:
        for point in sys.argv[1:]:
            if point.startswith("trace:"):
                _, scene, role = point.split(":")
                for number, step in enumerate(range_.trace(scene, role), 1):
                    print(f"{number:5} {step}")
                continue
            ended = range_.run(point)
            bad += not ended.is_good or ended.missed > 0
            print(ended)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
