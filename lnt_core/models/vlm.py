"""The frozen base model, loaded once per worker; trials get copies that share its weights."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from lnt_core.data.conversation import Conversations
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.memory import GIB
from lnt_core.distributed.sharded import in_parts, own_float32
from lnt_core.models.images import ImageInputs
from lnt_core.models.residual import keep_in_bf16
from lnt_core.models.roles import Roles, parameters_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PrecomputedTower(nn.Module):
    """Replaces the vision tower in a trial: its input is already the tower's output."""

    def forward(self, pixel_values: Tensor, **_: Any) -> Any:
        """Return ``pixel_values``, which are features of shape (images, tokens, channels)."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(hidden_states=(pixel_values,))


@dataclass(frozen=True)
class VisionLanguageModel:
    """The base model, with everything that prepares its inputs."""

    model: "PreTrainedModel"
    """The LLaVA-like model; every parameter frozen, in evaluation mode."""
    roles: Roles
    conversations: Conversations
    image_processor: Any
    feature_layers: tuple[int, ...] = ()
    num_dropped: int = 0
    """Number of the tower's first tokens (class, registers) that are dropped from the features."""
    processor: Any = None
    """The processor of a whole checkpoint, as published; None for a composed model."""

    @property
    def device(self) -> torch.device:
        """The device of the model; that of the tower, whose weights never leave it."""
        return next(self.tower.parameters()).device

    @property
    def tower(self) -> nn.Module:
        """The vision tower."""
        tower: nn.Module = self.model.get_submodule(*self.roles.require("vision"))
        return tower

    @property
    def connector(self) -> dict[str, nn.Parameter]:
        """The weights of what maps the tower's features to the space of embeddings, by name."""
        return parameters_of(self.model, self.roles.require("connector"))

    @torch.no_grad()
    def set_connector(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into the connector.

        Args:
            weights: One for each of :attr:`connector`.
        """
        own = self.connector
        assert own.keys() == weights.keys(), sorted(own.keys() ^ weights.keys())
        for name, parameter in own.items():
            parameter.copy_(weights[name])

    def image_inputs(self, groups: Sequence[Sequence[Image.Image]]) -> list[ImageInputs]:
        """What the model is given of the images of each conversation, in RGB.

        One conversation at a time, so that the result does not depend on the others.
        """
        return [self.through_tower(self.pixels_of(group)) for group in groups]

    def pixels_of(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """What the image processor makes of the images of one conversation, on the host."""
        return {"pixel_values": self.image_processor(images, return_tensors="pt")["pixel_values"]}

    @torch.no_grad()
    def through_tower(self, pixels: Mapping[str, Tensor]) -> ImageInputs:
        """What the model is given of one conversation's images, from :meth:`pixels_of` them.

        Features are the tower's, of shape (images, tokens, channels), on the model's device.
        """
        weight = next(self.tower.parameters())
        given = pixels["pixel_values"].to(weight, non_blocking=True)
        outputs = self.tower(given, output_hidden_states=True, return_dict=True)
        layers = [outputs.hidden_states[layer] for layer in self.feature_layers]
        return ImageInputs((torch.cat(layers, dim=-1)[:, self.num_dropped :],))

    def joined(self, parts: Sequence[ImageInputs]) -> dict[str, Any]:
        """What the forward pass takes for the images of a batch of conversations."""
        return {"pixel_values": torch.cat([part.features[0] for part in parts])}

    def trial_copy(self) -> "PreTrainedModel":
        """A copy with its own modules that shares every weight with the base.

        It takes features instead of pixels. Before the first step, trained parameters must get
        their own storage (:func:`own_trainable`). A sharded base supports only one copy, since
        training the copy changes the base.
        """
        model = self._copy({id(self.tower): PrecomputedTower()})
        model.config.vision_feature_layer = -1
        model.config.vision_feature_select_strategy = "full"
        return model

    def _copy(self, replaced: dict[int, Any]) -> "PreTrainedModel":
        """A copy that shares every weight and buffer.

        Args:
            replaced: What stands in the copy in place of a module, by the module's id.
        """
        memo: dict[int, Any] = {
            id(p): p if in_parts(p) else nn.Parameter(p.detach(), requires_grad=False)
            for p in self.model.parameters()
        }
        memo |= {id(buffer): buffer for buffer in self.model.buffers()}
        model = copy.deepcopy(self.model, memo | replaced)
        keep_in_bf16(model, self.roles)
        return model

    def lend_to(self, trial: nn.Module) -> float:
        """Give up on the GPU, until :meth:`take_back`, what the trial has trained copies of.

        These weights wait on the host. On a CPU, which is the host, they stay where they are.

        Args:
            trial: A copy of this model with a strategy applied and trained parameters of its own.

        Returns:
            GiB that have left the GPU.
        """
        if not is_gpu(self.device):
            return 0.0
        used = {t.untyped_storage()._cdata for t in (*trial.parameters(), *trial.buffers())}
        tower, moved = {id(parameter) for parameter in self.tower.parameters()}, 0
        for parameter in self.model.parameters():
            shared = in_parts(parameter) or parameter.untyped_storage()._cdata in used
            if id(parameter) not in tower and not shared:
                parameter.data = parameter.data.cpu()
                moved += parameter.nbytes
        return moved / GIB

    def take_back(self) -> None:
        """Bring back to the GPU what :meth:`lend_to` has moved to the host."""
        for parameter in self.model.parameters():
            if not in_parts(parameter):  # `to` returns what is there already
                parameter.data = parameter.data.to(self.device)


def own_trainable(model: nn.Module) -> None:
    """Give each trainable parameter its own float32 storage, so that the base never changes."""
    for parameter in model.parameters():
        if parameter.requires_grad and in_parts(parameter):
            own_float32(parameter)
        elif parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32, copy=True)
