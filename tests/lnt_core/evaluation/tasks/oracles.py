"""What the official scripts do, step by step; nothing of it is shared with `lnt`.

Written from the rules of GT-Vision-Lab/VQA `vqaEval.py`, RUCAIBox/POPE `evaluate.py` and MME's
`calculation.py`: plain loops over plain lists, without thought for speed or form.
"""

import re
from decimal import ROUND_HALF_UP, Decimal

TABLE = (
    "'ow'sat:'ow's'at 'ows'at:'ow's'at aint:ain't arent:aren't cant:can't "
    "couldn'tve:couldn't've couldnt:couldn't couldnt've:couldn't've couldve:could've "
    "didnt:didn't doesnt:doesn't dont:don't hadn'tve:hadn't've hadnt:hadn't hadnt've:hadn't've "
    "hasnt:hasn't havent:haven't he'dve:he'd've hed:he'd hed've:he'd've hes:he's howd:how'd "
    "howll:how'll hows:how's isnt:isn't it'dve:it'd've itd:it'd itd've:it'd've itll:it'll "
    "maam:ma'am mightn'tve:mightn't've mightnt:mightn't mightnt've:mightn't've mightve:might've "
    "mustnt:mustn't mustve:must've neednt:needn't notve:not've oclock:o'clock oughtnt:oughtn't "
    "ow's'at:'ow's'at shant:shan't she'dve:she'd've shed've:she'd've shouldn'tve:shouldn't've "
    "shouldnt:shouldn't shouldnt've:shouldn't've shouldve:should've somebody'd:somebodyd "
    "somebody'dve:somebody'd've somebodyd've:somebody'd've somebodyll:somebody'll "
    "somebodys:somebody's someone'dve:someone'd've someoned:someone'd someoned've:someone'd've "
    "someonell:someone'll someones:someone's something'dve:something'd've "
    "somethingd:something'd somethingd've:something'd've somethingll:something'll thats:that's "
    "there'dve:there'd've thered:there'd thered've:there'd've therere:there're theres:there's "
    "they'dve:they'd've theyd:they'd theyd've:they'd've theyll:they'll theyre:they're "
    "theyve:they've twas:'twas wasnt:wasn't we'dve:we'd've wed've:we'd've werent:weren't "
    "weve:we've whatll:what'll whatre:what're whats:what's whatve:what've whens:when's "
    "whered:where'd wheres:where's whereve:where've who'dve:who'd've whod:who'd "
    "whod've:who'd've wholl:who'll whos:who's whove:who've whyll:why'll whyre:why're whys:why's "
    "wont:won't wouldn'tve:wouldn't've wouldnt:wouldn't wouldnt've:wouldn't've wouldve:would've "
    "y'all'dve:y'all'd've y'alld've:y'all'd've y'allll:y'all'll yall:y'all yall'd've:y'all'd've "
    "yall'll:y'all'll you'dve:you'd've youd:you'd youd've:you'd've youll:you'll youre:you're "
    "youve:you've "
)
RESTORED = dict(pair.split(":") for pair in TABLE.split())
"""The official table of contractions, without keys that equal their value or have capitals."""


def vqa_clean(text: str) -> str:
    marks = [";", "/", "[", "]", chr(34), "{", "}", "(", ")", "=", "+", chr(92), "_", "-"]
    marks += [">", "<", "@", "`", ",", "?", "!"]
    result = text
    for mark in marks:
        beside_blank = (mark + " ") in text or (" " + mark) in text
        thousands = re.search("[0-9],[0-9]", text) is not None
        if beside_blank or thousands:
            result = "".join(result.split(mark))
        else:
            result = " ".join(result.split(mark))
    kept, removed = "", 0
    for place, letter in enumerate(result):
        digit_follows = place + 1 < len(result) and result[place + 1].isdigit()
        if letter == "." and not digit_follows and removed < 32:
            removed += 1
        else:
            kept += letter
    words = []
    for word in kept.lower().split():
        for number, name in enumerate(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
        ):
            if word == name:
                word = str(number)
        if word == "none":
            word = "0"
        if word in ("a", "an", "the"):
            continue
        words.append(RESTORED.get(word, word))
    return " ".join(words)


def vqa(predictions: list[str], people: list[list[str]]) -> tuple[list[float], float]:
    """Accuracy of each question (x 100, rounded), and of all of them."""
    each = []
    for prediction, answers in zip(predictions, people, strict=True):
        given = [
            {"answer": text.replace("\n", " ").replace("\t", " ").strip(), "answer_id": number}
            for number, text in enumerate(answers, start=1)
        ]
        said = prediction.replace("\n", " ").replace("\t", " ").strip()
        if len({answer["answer"] for answer in given}) > 1:
            for answer in given:
                answer["answer"] = vqa_clean(str(answer["answer"]))
            said = vqa_clean(said)
        accuracies = []
        for left_out in given:
            others = [answer for answer in given if answer != left_out]
            matching = [answer for answer in others if answer["answer"] == said]
            accuracies.append(min(1, float(len(matching)) / 3))
        each.append(float(sum(accuracies)) / len(accuracies))
    return [two_places(100 * value) for value in each], two_places(100 * sum(each) / len(each))


def two_places(value: float) -> float:
    """Rounded as Python 2 does, away from zero in the middle."""
    return float(Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP))


def pope(predictions: list[str], labels: list[str]) -> dict[str, float]:
    """One category; each number x 100."""
    tp = fp = tn = fn = yes = 0
    for text, label in zip(predictions, labels, strict=True):
        if text.find(".") != -1:
            text = text.split(".")[0]
        words = text.replace(",", "").split(" ")
        said = 0 if "No" in words or "not" in words or "no" in words else 1
        true = 0 if label == "no" else 1
        yes += said
        if said and true:
            tp += 1
        elif said:
            fp += 1
        elif not true:
            tn += 1
        else:
            fn += 1
    precision = float(tp) / float(tp + fp)
    recall = float(tp) / float(tp + fn)
    return {
        "accuracy": 100 * (tp + tn) / (tp + tn + fp + fn),
        "precision": 100 * precision,
        "recall": 100 * recall,
        "f1": 100 * 2 * precision * recall / (precision + recall),
        "yes_ratio": 100 * yes / len(predictions),
    }


def mme(lines: list[str]) -> dict[str, float]:
    """One subtask, from the lines of its file; acc, acc+ and their sum, each x 100."""
    images = 0
    both_right = 0
    right = 0
    counted = 0
    for start in range(0, len(lines), 2):
        images += 1
        right_here = 0
        for line in lines[start : start + 2]:
            fields = line.split("\t")
            if len(fields) != 4:
                continue
            truth, said = fields[2].lower(), fields[3].lower()
            if said != "yes" and said != "no":
                beginning = said[:4]
                if "yes" in beginning:
                    said = "yes"
                elif "no" in beginning:
                    said = "no"
                else:
                    said = "other"
            counted += 1
            if said == truth:
                right += 1
                right_here += 1
        if right_here == 2:
            both_right += 1
    acc, acc_plus = right / counted, both_right / images
    return {"acc": 100 * acc, "acc_plus": 100 * acc_plus, "sum": 100 * acc + 100 * acc_plus}
