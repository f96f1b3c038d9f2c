"""A whole checkpoint of any architecture, which is given what its own processor makes."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from lnt_core.data.processed import ProcessedConversations, is_of_tokens
from lnt_core.models.images import ImageInputs, Recorded, Recorder, Replay, join_padded
from lnt_core.models.vlm import VisionLanguageModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class WholeModel(VisionLanguageModel):
    """A model that is run by its own forward pass; features are kept at the connector's inputs."""

    def joined(self, parts: Sequence[ImageInputs]) -> dict[str, Any]:
        """What the forward pass of a trial's copy takes for the images of a batch."""
        keys = {key: join_padded([part.keys[key] for part in parts]) for key in parts[0].keys}
        return {"pixel_values": Recorded.joined(parts), **keys}

    def trial_copy(self) -> "PreTrainedModel":
        """A copy with its own modules that shares every weight with the base.

        It takes :class:`Recorded` features in place of pixels.
        """
        model = self._copy({})
        tower = model.get_submodule(*self.roles.require("vision"))
        Replay(_inner(model), tower, connector_modules(model, self.roles.require("connector")))
        return model

    def pixels_of(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """What the processor makes of the images of one conversation."""
        conversations = self.conversations
        assert isinstance(conversations, ProcessedConversations)
        text = conversations.image_token * len(images)
        done = self.processor(text=[text], images=[list(images)], return_tensors="pt")
        length = done["input_ids"].shape[1]
        return {k: v for k, v in done.items() if not is_of_tokens(v, length)}

    @torch.no_grad()
    def through_tower(self, pixels: Mapping[str, Tensor]) -> ImageInputs:
        """What enters the connector for one conversation's images, on the model's device."""
        moved = {k: value.to(self.device, non_blocking=True) for k, value in pixels.items()}
        values = moved.pop("pixel_values")
        run = _inner(self.model).get_image_features
        taken = inspect.signature(run).parameters
        with Recorder(connector_modules(self.model, self.roles.require("connector"))) as recorder:
            weight = next(self.tower.parameters())
            run(values.to(weight.dtype), **{k: v for k, v in moved.items() if k in taken})
        return ImageInputs(recorder.features, tuple(values.shape), moved)


def connector_modules(model: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """The modules of a connector, each of which is called; raw parameters have no inputs."""
    parts = dict(model.named_modules())
    return [parts[name] for name in names if name in parts]


def _inner(model: "PreTrainedModel") -> Any:
    """The module whose forward pass runs the tower, below the output head."""
    return getattr(model, model.base_model_prefix)
