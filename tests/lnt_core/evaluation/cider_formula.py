"""CIDEr-D of real captions, worked out from the published formula.

The references are those of five images of the test split of Flickr8k (Hodosh et al., 2013); each
image's first caption is scored against the other four, and one caption is of another image.

Vedantam et al., CIDEr, arXiv:1411.5726, equations 1 and 4, with n up to 4 and sigma 6. Where the
authors' code differs from the print, so does this: a term's frequency is its count, not its share
of the caption, which matters where counts are clipped.
"""

import math
from collections import Counter

IMAGES = (
    (
        "A paraglider soars near a cliff and over a body of water .",
        "A person parachuting over the ocean",
        "A purple paraglider flying over the ocean near a cliff .",
        "Someone with a purple parachute has jumped off a cliff .",
        "The purple parachutes floats off the cliff toward the grey ocean below .",
    ),
    (
        "A boy holds his hands on his head .",
        "A child with his hands on his head .",
        "A little boy in a striped shirt has his hands on his head .",
        "A little boy stands with his hands on top of his head",
        "The blond boy wearing a striped shirt is walking through the grass .",
    ),
    (
        "A father and a child are playing in the pool",
        "A frightened little boy being pulled up and out of a pool by his father .",
        "A man is pulling a little boy out of the water .",
        "A man lifting a little boy out of the water .",
        "Small boy wearing a blue shirt being brought up out of water by man in white shirt and "
        "wearing glasses .",
    ),
    (
        "A group of hikers led by a black and white dog climbs a hillside trail covered in ferns .",
        "A group of three people and one dog hike up a green mountainside .",
        "People with a dog hike up a green mountain .",
        "Three hikers and a dog are walking through the foliage on the hillside .",
        "Three people hiking up a mountain with a river and other mountains in the background .",
    ),
    (
        "A boy flips off a diving board into a pool .",
        "A boy is diving off a diving board into a swimming pool .",
        "A child is diving into a pool .",
        "A child jumping into a swimming pool from the diving board .",
        "Child flips off pool diving board , man and another tumbling child at poolside .",
    ),
)
N, SIGMA = 4, 6.0


def words(caption: str) -> list[str]:
    return [word for word in caption.lower().split() if word not in {".", ","}]


def h(caption: str, n: int) -> Counter:
    """How often each n-gram occurs in a caption."""
    w = words(caption)
    return Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1))


def cider_d(candidate: str, own: list[str], corpus: list[list[str]]) -> float:
    """CIDEr-D x 100 of a candidate, given the references of its image and of all images."""

    def g(caption: str, n: int) -> dict[tuple, float]:
        return {
            k: count
            * math.log(
                len(corpus) / max(1, sum(any(k in h(s, n) for s in image) for image in corpus))
            )
            for k, count in h(caption, n).items()
        }

    def of_n(n: int) -> float:
        total = 0.0
        for reference in own:
            c, s = g(candidate, n), g(reference, n)
            length = math.sqrt(math.fsum(v * v for v in c.values()))
            length *= math.sqrt(math.fsum(v * v for v in s.values()))
            dot = math.fsum(min(c[k], s[k]) * s[k] for k in c.keys() & s.keys())
            delta = len(words(candidate)) - len(words(reference))
            penalty = math.exp(-(delta**2) / (2 * SIGMA**2))
            total += penalty * dot / length if length else 0.0
        return 10 / len(own) * total

    return 100 * math.fsum(of_n(n) for n in range(1, N + 1)) / N
