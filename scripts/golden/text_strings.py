"""Strings for the tokenizer goldens: phrases in many scripts, and hard cases for tokenizers."""

import random

# Sentences written for this project; one line per language or script.
PHRASES = """
A bicycle leans against the old brick wall, and it doesn't fall.
I'll see what we've found; they're late, you'd say, but I'm sure it's fine.
Zwei Füchse überqueren müßig die große Straße; Äpfel, Öl und Übermut.
L'été dernier, j'ai vu où naît la rivière — c'était déjà très beau.
¿Dónde está el niño? ¡Mañana comerá piñas en la montaña!
Łódź, żółw i gęś siedzą pod wierzbą nad rzeką.
Příliš žluťoučký kůň stojí tiše u řeky.
Bức ảnh này chụp một con mèo đang ngủ trên ghế đỏ.
Dağın üstünde küçük bir köy var; ışıklar sönüyor. İstanbul
Ένα ποδήλατο στέκεται δίπλα στη θάλασσα· τι ωραία μέρα!
Велосипед стоїть біля старої стіни, а їжак спить під деревом.
Мой друг рисует большую картину у окна.
Հեծանիվը կանգնած է պատի մոտ։
ველოსიპედი კედელთან დგას, ბაღში ჩიტი მღერის.
האופניים נשענים על הקיר, וְהַיֶּלֶד צוֹחֵק.
الدراجة بجانب الجدار القديم، والسماءُ صافيةٌ اليوم.
ایک سائیکل پرانی دیوار کے ساتھ کھڑی ہے۔
ܐܝܠܢܐ ܪܒܐ ܒܓܢܬܐ
ދިވެހި ބަހުން ލިޔެފައި
एक साइकिल पुरानी दीवार के सहारे खड़ी है।
একটি লাল সাইকেল দেয়ালের পাশে দাঁড়িয়ে আছে।
ਇੱਕ ਸਾਈਕਲ ਕੰਧ ਦੇ ਨਾਲ ਖੜ੍ਹੀ ਹੈ।
એક સાયકલ દીવાલ પાસે ઊભી છે.
ଗୋଟିଏ ସାଇକେଲ କାନ୍ଥ ପାଖରେ ଅଛି।
ஒரு மிதிவண்டி சுவரின் அருகில் நிற்கிறது.
ఒక సైకిల్ గోడ పక్కన నిలబడి ఉంది.
ಒಂದು ಸೈಕಲ್ ಗೋಡೆಯ ಪಕ್ಕದಲ್ಲಿ ನಿಂತಿದೆ.
ഒരു സൈക്കിൾ ചുമരിനരികിൽ നിൽക്കുന്നു.
බයිසිකලයක් බිත්තිය අසල තිබේ.
จักรยานคันหนึ่งพิงกำแพงเก่าอยู่ริมน้ำ
ລົດຖີບຄັນໜຶ່ງຢູ່ຂ້າງກຳແພງ
རྐང་འཁོར་ཞིག་རྩིག་པའི་འགྲམ་ལ་འདུག
စက်ဘီးတစ်စီး နံရံဘေးမှာ ရပ်ထားတယ်။
កង់មួយនៅក្បែរជញ្ជាំងចាស់។
አንድ ብስክሌት ከግድግዳው አጠገብ ቆሟል።
ᎠᏯ ᏥᏔᎦ ᎠᏂ
ᐊᐃᓄᒃᑎᑐᑦ ᐅᖃᐅᓯᖅ
ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ
자전거 한 대가 낡은 벽에 기대어 서 있다.
自転車が古い壁に立てかけてあります。カタカナもｶﾀｶﾅも。
一辆自行车靠在旧砖墙上，旁边有三只猫。
一輛腳踏車靠在舊牆邊；天氣很好！
""".strip().split("\n")

CODE = r"""
for (std::size_t i = 0; i < n; ++i) { sum += x[i] * w[i]; }\n
def f(x, *, y=None):\n    return {"a": [x, y], 'b': x ** 2}\n
#include <vector>\n\nint main() {\n\treturn 0;\n}\n
SELECT name, COUNT(*) FROM images WHERE width >= 1024 GROUP BY 1;\n
<div class="caption">&nbsp;<b>x</b></div>\r\n
{"id": 17, "url": "https://example.org/a/b?c=d&e=%20", "ok": true}
$ make -j2 && ./bin/run --input=/tmp/x.jsonl | head -n 10
let v: Vec<_> = xs.iter().map(|&x| x as f32 / 255.0).collect();
\frac{a+b}{\sqrt{c}} \approx 3.14159
x = 0x1F + 1e-5 - 1_000_000;  // TODO?!
""".strip("\n").split("\n")

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
            "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
            "<|image_pad|>", "<|video_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
         "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]

EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇨🇭", "❤️", "🧑🏿‍🚀", "1️⃣", "🚲", "😀😃", "👨‍⚕️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "☕", "©®™", "🫠", "🪿"]
SPACES = [" ", " ", " ", "\n", "\r", "\r\n", "\t", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2000", "\u2007", "\u200a",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u180e", "\u200b", "\ufeff", "\x1c", "\x1f", "\0"]
MARKS = [0x300, 0x301, 0x307, 0x308, 0x30A, 0x316, 0x31B, 0x321, 0x323, 0x327, 0x328, 0x334, 0x338, 0x344, 0x345, 0x35C, 0x5B0, 0x5BC,
         0x64B, 0x651, 0x670, 0x93C, 0x94D, 0xE38, 0xE48, 0xF71, 0xF72, 0xF74, 0x3099, 0x309A, 0x20D0, 0x1D165, 0x1D16D,
         # newer than the reference's NFC data, so inert there
         0x7FD, 0x898, 0x8CA, 0x9FE, 0xC3C, 0x1715, 0x1ABF, 0x1DF6, 0x10D24, 0x11930, 0x1E130, 0x10EFD, 0x1E08F, 0x1E4EC, 0x113CE]
BASES = "aeiouAEIOUsSdDnNcCqz" + "ÄǟṩΩάЙאשجकককாกཀ가각カハ" + "\u2126\u212b\u1e9b\ufb1d\ufb01\u0958\u09cb\u0b94\u0dda\U0001d15e\uf900\u2f800"

BLOCKS = [(0x20, 0x7F), (0x80, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x5FF), (0x600, 0x77F), (0x780, 0x8FF),
          (0x900, 0xDFF), (0xE00, 0xFFF), (0x1000, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x167F), (0x1680, 0x18AF),
          (0x1C80, 0x1CFF), (0x1D00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x2BFF), (0x2C00, 0x2E7F),
          (0x2E80, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x9FFF), (0xA000, 0xA4CF), (0xA4D0, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF),
          (0xF900, 0xFFFF), (0x10000, 0x105FF), (0x10800, 0x10FFF), (0x11000, 0x11FFF), (0x12000, 0x1343F), (0x16A00, 0x16FFF),
          (0x1B000, 0x1BCFF), (0x1CC00, 0x1D7FF), (0x1DF00, 0x1EEFF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0x10FFFF)]


def _run(rng, items, low, high):
    return "".join(rng.choice(items) for _ in range(rng.randint(low, high)))


def _words(rng):
    words = rng.choice(PHRASES).split(" ")
    at = rng.randrange(len(words))
    return " ".join(words[at:at + rng.randint(1, 4)])


def _points(rng):
    low, high = rng.choice(BLOCKS)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 7)))


def _marks(rng):
    out = ""
    for _ in range(rng.randint(1, 3)):
        out += rng.choice(BASES) + "".join(chr(rng.choice(MARKS)) for _ in range(rng.randint(0, 4)))
    return out


def _jamo(rng):
    return "".join(rng.choice([chr(rng.randint(0x1100, 0x1112)), chr(rng.randint(0x1161, 0x1175)), chr(rng.randint(0x11A7, 0x11C3)),
                               chr(0xAC00 + 28 * rng.randint(0, 398))]) for _ in range(rng.randint(2, 6)))


def _contraction(rng):
    tail = rng.choice(["s", "t", "re", "ve", "m", "ll", "d", "S", "T", "RE", "vE", "M", "lL", "D", "\u017f", "r", "l", "v", "x", "\u2019s"])
    return rng.choice(["it", "don", "We", "x1", "", " ", "'", "né"]) + "'" + tail + rng.choice(["", "e", "l", "s", " y", "9", "\n"])


def _digits(rng):
    return _run(rng, "0123456789.,-+ " + "٣५๗Ⅷ½²①𝟜", 1, 12)


def _code(rng):
    line = rng.choice(CODE).replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
    at = rng.randrange(len(line))
    return line[at:at + rng.randint(5, 40)]


def _special(rng):
    token = rng.choice(SPECIALS + ADDED)
    if rng.random() < 0.3:  # nearly one
        at = rng.randrange(1, len(token))
        token = token[:at] + rng.choice(["", " ", "<", "|", "é"]) + token[at:]
    return token


def _raw(rng):
    data = bytes(rng.randrange(256) for _ in range(rng.randint(1, 10)))
    return data.decode("latin-1") if rng.random() < 0.5 else data.decode("utf-8", errors="replace")


def _punctuation(rng):
    return _run(rng, "!?.,;:'\"()[]{}<>|/\\-_=+*&^%$#@~`«»…—", 1, 8) + rng.choice(["", "\n", "\r\n", "\n\n", " ", "a"])


KINDS = [_words, _words, _points, _points, _marks, _jamo, _contraction, _digits, _code, _special, _raw, _punctuation,
         lambda rng: _run(rng, SPACES, 1, 6), lambda rng: _run(rng, SPACES, 1, 3), lambda rng: rng.choice(EMOJI),
         lambda rng: _run(rng, "aAbéß ", 1, 9)]


def strings(seed, count):
    """Distinct strings: fixed ones first, then single and joined pieces of every kind."""
    rng = random.Random(seed)
    fixed = ["", " ", "Hello world", " Hello world", "Describe this image.", "<0.3 seconds>", " <", "text <12.5 seconds>",
             "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe this image.<|im_end|>\n<|im_start|>assistant\n",
             "I'm  don't\n\n  x\t1234 e\u0301 é ﬁ 🚲", "a" * 300, " " * 120, "\n" * 70 + "x", "ab" * 60, "0" * 40, "。" * 50, "<" * 30,
             "\u0301" * 20 + "e", "\r\n" * 9, "a\u0334\u0301\u0327" * 8, *PHRASES, *SPECIALS, *ADDED]
    seen = dict.fromkeys(fixed)
    while len(seen) < count:
        seen[("" if rng.random() < 0.8 else " ").join(rng.choice(KINDS)(rng) for _ in range(rng.randint(1, 3)))] = None
    return [s for s in seen if not any(0xD800 <= ord(c) < 0xE000 for c in s)]


def byte_strings(seed, count):
    """Malformed UTF-8 and near misses: pieces of characters, overlong forms, surrogates, out-of-range values."""
    rng = random.Random(seed)
    parts = [b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xff", b"\xfe", b"\x80", b"\xbf",
             b"\xe2\x82", b"\xf0\x9f\x9a", b"\xf0\x9f", b"\xe2", b"\xf0", b"a", b" ", "é".encode(), "🚲".encode(), b"<|im_end|>", b"\xc3"]
    out = []
    while len(out) < count:
        out.append(b"".join(rng.choice(parts) if rng.random() < 0.8 else bytes([rng.randrange(256)]) for _ in range(rng.randint(1, 7))))
    return out
