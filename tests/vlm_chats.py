"""Chat templates of vision-language models, which render as the published ones do.

Written for conversations of questions and answers, each a list of parts: text and images. What they
leave out of the published templates: tools, videos and messages that are plain strings.
"""

_PARTS = (
    "{% for part in message['content'] %}"
    "{{ 'IMAGE' if part['type'] == 'image' else part['text'] }}{% endfor %}"
)
_CHATML = (
    "{% for message in messages %}SYSTEM<|im_start|>{{ message['role'] }}\n"
    f"{_PARTS}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_2_5 = _CHATML.replace("IMAGE", _QWEN_IMAGE).replace(
    "SYSTEM",
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}",
)
QWEN_3 = _CHATML.replace("IMAGE", _QWEN_IMAGE).replace("SYSTEM", "")
INTERN = _CHATML.replace("IMAGE", "<IMG_CONTEXT>\n").replace("SYSTEM", "")
ONEVISION = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + ' ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}"
    "{{ '\n' + part['text'] }}{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_UTTERANCES = (
    "{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{{ '' if message['content'][0]['type'] == 'image' else ' ' }}"
    f"{_PARTS}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
).replace("IMAGE", "<image>")
IDEFICS_3 = f"<|begin_of_text|>{_UTTERANCES}"
SMOL = f"<|im_start|>{_UTTERANCES}"
NEXT_MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}[INST] "
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}{% endif %}{% endfor %}"
)
GEMMA_3 = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{{ '<start_of_image>' if part['type'] == 'image' else part['text'] | trim }}"
    "{% endfor %}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
