"""The loss on held-out conversations: no answer is generated, those of the file are weighed."""

from collections.abc import Sequence

from torch import nn
from typing_extensions import override

from lnt_core.config import CAPTION_PROMPT
from lnt_core.data.conversation import IGNORE, Conversations, Encoded
from lnt_core.distributed.sharded import runs_in_step
from lnt_core.errors import DataError
from lnt_core.evaluation.prepared import Evaluated, PreparedTask, in_batches, shared_results
from lnt_core.evaluation.record import Record
from lnt_core.evaluation.tasks.loss import HeldOutLoss
from lnt_core.models.features import FeatureStore
from lnt_core.training.answers import answer_nats
from lnt_core.training.batches import collate


class HeldOut(PreparedTask):
    """Held-out conversations, encoded for one model.

    Args:
        task: The task.
        prefix: What the names of its metrics begin with.
        conversations: Encodes them.
        max_length: Tokens to which they are truncated, as in training.

    Raises:
        DataError: A conversation has no answer within ``max_length``.
    """

    def __init__(
        self, task: HeldOutLoss, prefix: str, conversations: Conversations, *, max_length: int
    ) -> None:
        super().__init__(task, prefix, batch_size=task.options.batch_size)
        self._task = task
        self._encoded = [conversations.encode(s, max_length=max_length) for s in task.samples]
        if bare := [i for i, encoded in enumerate(self._encoded) if not encoded.is_learnt]:
            raise DataError(
                f"{len(bare)} conversations of the task 'loss' have no answer in their first "
                f"{max_length} tokens, the first of them number {bare[0]}, counted from 0; raise "
                "`train.max_length`"
            )
        self._pad_id = int(conversations.tokenizer.pad_token_id)
        self._prompt = conversations.prompt_text(CAPTION_PROMPT)
        self._prompts = [conversations.encode_prompt(CAPTION_PROMPT, [i]) for i in self.images]

    @property
    @override
    def prompt(self) -> str:
        return self._prompt

    @property
    @override
    def prompts(self) -> list[Encoded]:
        return self._prompts

    @property
    @override
    def longest(self) -> tuple[int, int]:
        return max(len(encoded.input_ids) for encoded in self._encoded), 0

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

        def run(part: Sequence[int]) -> list[float]:
            samples = [self._encoded[i] for i in part]
            return answer_nats(model, collate(samples, pad_id=self._pad_id, store=store), bf16=bf16)

        def run_all(batch: Sequence[int]) -> list[float]:
            return self._in_memory(model, store.device, batch, run)

        length = [len(encoded.input_ids) for encoded in self._encoded]
        order = sorted(range(len(length)), key=length.__getitem__)
        batches = in_batches(order, self._task.options.batch_size)
        found = shared_results(model, batches, run_all, record)
        of = dict(zip(order, found, strict=True))
        nats = [of[index] for index in range(len(order))]
        tokens = [sum(label != IGNORE for label in e.labels[1:]) for e in self._encoded]
        scored = self._task.score_nats(nats, tokens)
        rows = tuple(
            {
                "id": question.id,
                "image": question.image.name if question.image else None,
                "nats": n,
                "tokens": t,
                "score": score,
                "contribution": contribution,
            }
            for question, n, t, score, contribution in zip(
                self._task.questions, nats, tokens, scored.scores, scored.contributions, strict=True
            )
        )
        return Evaluated(self._task.metric, scored.summary, rows)
