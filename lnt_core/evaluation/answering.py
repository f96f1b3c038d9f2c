"""Tasks in which a model answers questions by greedy decoding, captioning among them."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lnt_core.config import CaptioningConfig
from lnt_core.data.captioned import load_captioned
from lnt_core.data.conversation import Conversations, Encoded
from lnt_core.data.questions import Question
from lnt_core.distributed.sharded import runs_in_step
from lnt_core.errors import DataError
from lnt_core.evaluation.prepared import Evaluated, PreparedTask, in_batches, shared_results
from lnt_core.evaluation.record import Record
from lnt_core.evaluation.tasks import AskingTask, Captioning, Scored
from lnt_core.models.features import FeatureStore
from lnt_core.seeding import generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Answering(PreparedTask):
    """A task of questions, encoded for one model.

    Questions are asked in batches of equally long prompts, which need no padding: an answer does
    not depend on the questions beside it. Where the length of a prompt depends on its image, there
    are too few of one length, and prompts are padded on the left.

    Args:
        task: The task.
        prefix: What the names of its metrics begin with.
        conversations: Encodes the prompts.
        seed: By which text examples are drawn.
    """

    def __init__(
        self, task: AskingTask[Any], prefix: str, conversations: Conversations, *, seed: int
    ) -> None:
        super().__init__(task, prefix, batch_size=task.options.batch_size)
        if bare := [q.id for q in task.questions if q.image is None]:
            raise DataError(
                f"the task {task.options.task!r} has {len(bare)} questions without an image, the "
                f"first of them {bare[0]!r}; each needs one"
            )
        self.kind = "captions" if isinstance(task, Captioning) else "answers"
        self._task = task
        self._tokenizer = conversations.tokenizer
        examples = text_examples(task.options, seed=seed)
        self._padded = conversations.sees_images
        known: dict[tuple[str, Path | None], Encoded] = {}
        self._prompts = []
        for question in task.questions:
            text, image = task.ask(question), _image(question)
            key = (text, image if self._padded else None)
            if key not in known:
                known[key] = conversations.encode_prompt(text, [image], examples=examples)
            self._prompts.append(known[key])
        self._prompt = conversations.prompt_text(task.ask(task.questions[0]), examples=examples)

    @property
    @override
    def prompt(self) -> str:
        return self._prompt

    @property
    @override
    def prompts(self) -> list[Encoded]:
        asked = zip(self._task.questions, self._prompts, strict=True)
        first = {_image(q): prompt for q, prompt in reversed([*asked])}
        return [first[image] for image in self.images]

    @property
    @override
    def longest(self) -> tuple[int, int]:
        tokens = max(len(prompt.input_ids) for prompt in self._prompts)
        return tokens, self._task.options.max_new_tokens

    @override
    def evaluate(
        self,
        model: nn.Module,
        store: FeatureStore,
        *,
        bf16: bool = False,
        record: Record | None = None,
    ) -> Evaluated:
        model.eval()
        self._be_told(in_step=runs_in_step(model))
        length = [len(prompt.input_ids) for prompt in self._prompts]
        order = sorted(range(len(length)), key=length.__getitem__)
        size = self._task.options.batch_size
        grouped = itertools.groupby(order, key=lambda i: 0 if self._padded else length[i])
        batches = [batch for _, group in grouped for batch in in_batches(list(group), size)]

        def run(batch: Sequence[int]) -> list[str]:
            return self._answers(model, store, batch, bf16=bf16)

        given = dict(zip(order, shared_results(model, batches, run, record), strict=True))
        answers = [given[index] for index in range(len(order))]
        scored = self._task.score(answers)
        return Evaluated(self._task.metric, scored.summary, self._rows(answers, scored))

    def _answers(
        self, model: nn.Module, store: FeatureStore, batch: Sequence[int], *, bf16: bool
    ) -> list[str]:
        """Answers to the questions of these numbers, in as many parts as memory requires."""

        def run(part: Sequence[int]) -> list[str]:
            return greedy_answers(
                model,
                [self._prompts[i] for i in part],
                store.get([(_image(self._task.questions[i]),) for i in part]),
                self._tokenizer,
                max_new_tokens=self._task.options.max_new_tokens,
                bf16=bf16,
            )

        return self._in_memory(model, store.device, batch, run)

    def _rows(self, answers: Sequence[str], scored: Scored) -> tuple[dict[str, Any], ...]:
        found = zip(self._task.questions, answers, scored.scores, scored.contributions, strict=True)
        if isinstance(self._task, Captioning):
            return tuple(
                {"image": _image(q).name, "caption": " ".join(a.split()), "cider": s}
                for q, a, s, _ in found
            )
        return tuple(
            {
                "id": f"{question.group}/{question.id}" if question.group else question.id,
                "image": _image(question).name,
                "question": question.text,
                "answer": answer,
                "references": question.references,
                "score": score,
                "contribution": contribution,
            }
            for question, answer, score, contribution in found
        )


@torch.no_grad()  # not inference_mode: features computed here may be trained on later
def greedy_answers(
    model: Any,
    prompts: Sequence[Encoded],
    images: dict[str, Any],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_new_tokens: int,
    bf16: bool = False,
) -> list[str]:
    """Answer each prompt by greedy decoding.

    Args:
        model: The model in evaluation mode, which takes features instead of pixels. Its own
            generation config says which tokens end an answer (``lnt_core.models.tokens.greedy``).
        prompts: The prompts; shorter ones are padded on the left.
        images: What the model takes of their images, as from ``FeatureStore.get``.
        tokenizer: The model's tokenizer.
        max_new_tokens: Maximum number of tokens per answer.
        bf16: Run under bfloat16 autocast, as in training.

    Returns:
        The answers as they are decoded, line breaks included.
    """
    device = next(model.parameters()).device
    tokens = prompt_tensors(prompts, int(tokenizer.pad_token_id), device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        answered = model.generate(
            **tokens,
            **images,
            max_new_tokens=max_new_tokens,
            synced_gpus=runs_in_step(model),  # answers of other workers may be longer
        )
    new = answered[:, tokens["input_ids"].shape[1] :]
    texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
    return texts


def prompt_tensors(
    prompts: Sequence[Encoded], pad_id: int, device: torch.device
) -> dict[str, Tensor]:
    """Prompts as (B, T) arguments of the forward pass, padded on the left to T tokens."""
    rows = {"input_ids": [prompt.input_ids for prompt in prompts]}
    rows["attention_mask"] = [(1,) * len(row) for row in rows["input_ids"]]
    rows |= {key: [prompt.extras[key] for prompt in prompts] for key in prompts[0].extras}
    padding = {"input_ids": pad_id}
    return {
        key: nn.utils.rnn.pad_sequence(
            [torch.tensor(row, dtype=torch.int64) for row in values],
            batch_first=True,
            padding_value=padding.get(key, 0),
            padding_side="left",
        ).to(device)
        for key, values in rows.items()
    }


def text_examples(options: Any, *, seed: int) -> tuple[tuple[str, str], ...]:
    """Text-only question-answer examples, drawn from the train split with ``seed``.

    Args:
        options: Those of a task; only captioning has examples.
        seed: Seed of the draw.

    Source:
        Alayrac et al., Flamingo, arXiv:2204.14198, which prompts this way for zero-shot captions.
        The LayerNorm paper (Zhao et al.) uses three examples, but does not print them.
    """
    if not isinstance(options, CaptioningConfig) or options.text_examples == 0:
        return ()
    train = load_captioned(options.model_copy(update={"num_images": None}), "train")
    chosen = torch.randperm(len(train), generator=generator("text examples", seed))
    items = [train[i] for i in chosen[: options.text_examples].tolist()]
    return tuple((options.prompt, item.references[0]) for item in items)


def _image(question: Question) -> Path:
    assert question.image is not None  # checked when the task was prepared
    return question.image
