"""Templates and conversations for the goldens: a template per feature, a vision and a reasoning template, messages."""

# A template like those of vision-language models: turns, placeholders, counters, tools.
VISION = """{%- macro show(content, count) %}
    {%- if content is string %}
        {{- content }}
    {%- else %}
        {%- for item in content %}
            {%- if item.type == 'image' or 'image' in item %}
                {%- set count.images = count.images + 1 %}
                {%- if add_vision_id %}Picture {{ count.images }}: {% endif -%}
                <|vision_start|><|image_pad|><|vision_end|>
            {%- elif item.type == 'video' or 'video' in item %}
                {%- set count.videos = count.videos + 1 %}
                {%- if add_vision_id %}Video {{ count.videos }}: {% endif -%}
                <|vision_start|><|video_pad|><|vision_end|>
            {%- elif 'text' in item %}
                {{- item.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- set count = namespace(images=0, videos=0) %}
{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}
        {{- "\\n" ~ (tool | tojson) }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role in ['system', 'user', 'assistant'] %}
        {{- '<|im_start|>' + message.role + '\\n' + show(message.content, count) + '<|im_end|>\\n' }}
    {%- else %}
        {{- raise_exception('unknown role ' + message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# A template like those of reasoning models: it drops past thoughts, searches from the end, and has tool turns.
REASONING = """{%- set ns = namespace(found=false, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == 'user' and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.found = true %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' ~ (call.arguments if call.arguments is string else call.arguments | tojson) ~ '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or (loop.previtem and loop.previtem.role != 'tool') %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' ~ content ~ '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\\n' ~ content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}
"""

# One line per feature: the template, and its variables where it needs more than DATA.
DATA = {"n": 7, "f": 2.5, "s": "Straße 🚲", "t": True, "none_": None, "l": [1, 2, 3, "x"], "d": {"b": 1, "a": {"k": [1.0, 1e16, 1e-5]}, "é": "ü\n\"<&'"},
        "people": [{"name": "Ann", "age": 3}, {"name": "Bo", "age": 1, "pet": {"kind": "cat"}}], "e": [], "ws": " \t x y \n", "csv": "a,b,,c"}
FEATURES = [
    # text, trims, blocks
    "plain", "", "\n", "a\n", "a\n\n", "a\r\nb\rc", "{{ n }}\n", "{{ n }}\nx", "  {% if t %}  \n  yes\n  {% endif %}  \n z", "a {%- if t -%} b {%- endif -%} c",
    "a {%+ if t +%} \n b {%+ endif +%}\n c", "x\n   {# comment #}\ny", "x {#- comment -#} y", "x {# a\nb #}\n\ny", "  {{ n }}  \n  {{- n -}}  \n z",
    "{% raw %}{{ n }} {% if %}{% endraw %}!", "a  {%- raw -%}  {{ x }}  {%- endraw -%}  b", "\n\n  {% set a = 1 %}\n\n  {{ a }}", "{% if t %}{# c #}\n{% endif %}\nq",
    "line\n\t {% if t %}\nin\n\t {% endif %}\nout", "{{ '}}' }}{{ \"%}\" }}", "{{ {'a': {'b': 1}}.a.b }}", "a{% if t %}\n\n b{% endif %}", "{% if t -%}\n\n b{% endif %}", "{{+ n }}",
    "\u00a0{%- if t %}x{% endif %}", "x \u2003{{- n }}",
    # literals
    "{{ 'a\\n\\t\\'\\\"\\\\ \\x41\\u00e9\\U0001f6b2 \\q' }}", "{{ 'a' 'b' \"c\" }}", "{{ 1_000 }} {{ 1.5e3 }} {{ 2e-7 }} {{ 1e22 }}",
    "{{ true }} {{ True }} {{ none }} {{ None }} {{ false }}", "{{ [1, 'a', none, [2.0]] }} {{ {'a': 1, 'b': [true]} }}", "{{ [\"it's\", 'q\"'] }}", "{{ (1, 2)[1] }} {{ (3) }}", "{{ [1, 2,] }}",
    # operators
    "{{ 7 + 2 }} {{ 7 - 9 }} {{ 7 * 2 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }}", "{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 6 / 3 }} {{ 1 - 2 - 3 }} {{ 2 ** 3 ** 2 }}",
    "{{ 'a' ~ 1 ~ none ~ 2.0 }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ [0] * 2 }} {{ 2 * 3 ~ 4 }} {{ 'x' + 2 ~ 3 }}", "{{ -n }} {{ +n }} {{ -(2) ** 2 }} {{ -2 | abs }} {{ not n }} {{ not not n }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 3 >= 3 }} {{ 3 != 3 }} {{ 'é' > 'z' }}", "{{ 'x' in l }} {{ 5 not in l }} {{ 'tra' in s }} {{ 'b' in d }} {{ 'z' not in d }} {{ 1 in [true] }}",
    "{{ none_ == none }} {{ d == {'b': 1} }} {{ l == [1, 2, 3, 'x'] }}", "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ '' and z }} {{ t or z.y }} {{ not t and t or 5 }}", "{{ 'a' if t else 'b' }} {{ 'a' if not t }}| {{ 'a' if not t else 'b' if t else 'c' }}",
    "{{ 1 if 2 in [2] else 3 }} {{ (1 if t else 2) + 3 }}",
    # access
    "{{ d.a.k[0] }} {{ d['a']['k'][1] }} {{ d.a.k.2 }} {{ l[-1] }} {{ l[99] }}| {{ d.nope }}| {{ s[0] }} {{ s[-1] }} {{ people.1.pet.kind }}", "{{ l[::-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[1:3] }} {{ l[::2] }} {{ l[-2:] }} {{ l[3:1:-1] }} {{ l[10:] }}",
    "{{ s[::-1] }} {{ s[:6] }} {{ s[-3:-1] }} {{ 'abc'[5:] }}|", "{{ d.items()|length }} {{ d.keys()|list }} {{ d.values()|list|length }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 4) }}", "{{ d['items'] is defined }} {{ {'items': 3}['items'] }} {{ {'items': 3}.x is defined }}",
    # undefined
    "{{ nope }}|{{ nope is defined }}|{{ nope is undefined }}|{{ not nope }}|{{ nope ~ 'x' }}|{{ nope|length }}|{% for x in nope %}{% else %}none{% endfor %}", "{{ nope == nope2 }} {{ nope == none }} {{ 1 in nope }} {{ nope|default('d') }} {{ nope|d }}| {{ ''|default('d', true) }} {{ none|default('d') }}",
    "{{ nope is string }} {{ nope is none }} {{ nope is iterable }} {{ nope is mapping }} {{ nope|trim }}| {{ nope|join(',') }}| {{ nope|upper }}|",
    # tests
    "{{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is iterable }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ t is integer }} {{ t is boolean }} {{ n is iterable }} {{ none is none }}",
    "{{ t is true }} {{ n is false }} {{ n is odd }} {{ n is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ n is not string }} {{ not n is string }} {{ n is eq 7 }} {{ n is gt(3) }} {{ n is in [7] }} {{ 'a' is lower }} {{ 'A' is upper }} {{ range is callable }}",
    "{{ n is defined and n is number or false }} {{ 'y' if n is defined else 'n' }} {{ n is defined == true }}",
    # filters
    "{{ d|tojson }} {{ l|tojson }} {{ s|tojson }} {{ none|tojson }} {{ f|tojson }} {{ ''|tojson }} {{ '\\x07\\x7f/'|tojson }}", "{{ d|tojson(indent=2) }} {{ e|tojson(indent=2) }} {{ [{}]|tojson(indent=4) }}", "{{ 1e16|tojson }} {{ 123456789.125|tojson }} {{ 0.1|tojson }} {{ -0.0|tojson }} {{ 1e-5 }} {{ 0.0001 }} {{ 12345678901234567.0 }}",
    "{{ ws|trim }}| {{ 'xxaxx'|trim('x') }} {{ s|length }} {{ l|count }} {{ d|length }}", "{{ l|join }} {{ l|join(', ') }} {{ people|join('+', attribute='name') }} {{ 'abc'|join('-') }} {{ e|join(',') }}|", "{{ 5|string ~ '5' }} {{ 'aB c'|upper }} {{ 'aB C'|lower }} {{ 'aB cd'|capitalize }} {{ 'aB c-d e1f'|title }}",
    "{{ l|first }} {{ l|last }} {{ e|first }}| {{ s|first }} {{ s|last }} {{ d|first }}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %} {% for k, v in d.items() %}{{ loop.index }}{{ k }}{% endfor %}", "{{ '42'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ 3.9|int }} {{ '2.5'|float }} {{ -3|abs }} {{ ' 7 '|int }}",
    "{{ l|reverse|list }} {{ 'abc'|reverse }} {{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort }} {{ [3, 1]|sort(reverse=true) }} {{ people|sort(attribute='age')|map(attribute='name')|join }}", "{{ 'a-b-c'|replace('-', '+') }} {{ 'a-b-c'|replace('-', '+', 1) }} {{ 'abc'|list }} {{ d|list }}",
    "{{ people|map(attribute='name')|list }} {{ people|map(attribute='pet.kind', default='no')|list }} {{ ['a']|map('upper')|list }} {{ [0, 1, '']|select|list }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('odd')|list }}",
    "{{ people|selectattr('pet')|list|length }} {{ people|selectattr('age', 'gt', 2)|map(attribute='name')|join }} {{ people|rejectattr('name', 'eq', 'Bo')|list|length }}", "{{ 'a\\nb\\n\\nc'|indent }} {{ 'a\\nb'|indent(2, true) }} {{ 'x'|safe }}",
    # methods
    "{{ csv.split(',') }} {{ csv.split(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ csv.rsplit(',', 1) }}", "[{{ ws.strip() }}][{{ ws.lstrip() }}][{{ ws.rstrip() }}] {{ 'xxaxy'.strip('xy') }} {{ '\\n\\na\\n'.lstrip('\\n') }} {{ '\\x1ca\\u2003'.strip() }}|",
    "{{ s.startswith('Str') }} {{ s.endswith('x') }} {{ s.startswith(('a', 'S')) }} {{ 'aXb'.upper() }} {{ 'aXb'.lower() }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }}", "{{ 'a.b'.replace('.', '!') }} {{ 'abab'.count('b') }} {{ 'Straße'.find('e') }} {{ 'a'.find('z') }} {{ '-'.join(['a', 'b']) }} {{ 'a\\nb\\r\\nc\\n'.splitlines() }}",
    # statements
    "{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }} {% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }} {% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}{% for (a, b) in [(1, 2)] %}{{ b }}{% endfor %}", "{% for x in l if x is number and x > 1 %}{{ loop.index }}:{{ x }} {% else %}no{% endfor %}", "{% for x in e %}a{% else %}empty{% endfor %}", "{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 'x' %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for c in 'aé' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}.{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}", "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ x * y }} {% endfor %}{{ loop.index }};{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "{% set a, b = 1, 'z' %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c[1] }}", "{% set ns = namespace(n=0, l=[]) %}{% for i in l %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{% set ns.q = 'new' %}{{ ns.q }}{{ ns.zz }}", "{% set x %}a{{ n }}b{% endset %}{{ x }}{% set y | upper %}q{% endset %}{{ y }}",
    "{% if n == 1 %}a{% elif n == 7 %}b{% else %}c{% endif %}{% if e %}x{% elif none_ %}y{% else %}z{% endif %}", "{% macro m(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, a=4) }}{{ m() }}", "{% set g = 'g' %}{% macro m() %}{{ g }}{{ n }}{% endmacro %}{% for g in l %}{{ m() }}{% endfor %}",
    "{% macro fact(k) %}{% if k <= 1 %}1{% else %}{{ k * fact(k - 1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}", "{% filter upper %}a{{ 'b' }}{% endfilter %}", "{% generation %}x{{ n }}{% endgeneration %}", "{% if t %}{% set inner = 1 %}{% endif %}{{ inner }}", "{% for m in people %}{% set m = m.pet if m.pet else m %}{{ m.kind or m.name }} {% endfor %}",
    "{{ dict(a=1, b='x') }} {{ dict({'q': 1}).q }}", "{% for p in people %}{{ p.name }}{{ ', ' if not loop.last }}{% endfor %}",
]
ERRORS = [
    "{{ raise_exception('no ' ~ n) }}", "a\n {{ nope.x }}", "{{ nope + 1 }}", "{{ 1 + 'a' }}", "{{ 1 + 2 ~ 3 }}", "{{ 'a' < 1 }}", "{{ n.x.y }}", "{{ nope() }}", "{{ n() }}", "{% for x in n %}{% endfor %}", "{{ 1 / 0 }}", "{{ nope|tojson }}", "{% set a, b = [1] %}", "{% set d.x = 1 %}",
    "{{ l[::0] }}", "{{ n in n }}", "{{ nope['x'] }}", "{{ range(1000000) }}", "{{ n|length }}", "{{ -s }}", "{% for a, b in l %}{% endfor %}", "{{ 'a'.split('') }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
]
SYNTAX_ERRORS = [
    "{{ n", "{% if n %}", "{% endif %}", "{{ n }", "{{ 'a }}", "{# a", "{% for x l %}{% endfor %}", "{% for x in l %}", "{{ n | nofilter }}", "{{ n is notest }}", "{{ 1 + }}", "{{ (1 }}", "{{ [1 }}", "{{ 1 ) }}", "{% set = 1 %}", "{% bogus %}", "{{ a b }}", "{% raw %}x",
    "{% if t %}{% else %}{% else %}{% endif %}", "{{ }}", "{% %}", "{{ {'a' 1} }}", "{{ a.! }}", "{% set x %}", "{{ \"\\xZZ\" }}", "{% macro m( %}{% endmacro %}", "line\nline {{ n + }}\n", "{{ a ? b }}",
]

_WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "W", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
_USER = {"role": "user", "content": "Hello"}
_IMAGE, _VIDEO = {"type": "image"}, {"type": "video"}
_CALLS = [{"role": "user", "content": "q"},
          {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": "ü"}}}, {"name": "g", "arguments": "{\"x\": 2}"}]},
          {"role": "tool", "content": "r1"}, {"role": "tool", "content": [_IMAGE, {"type": "text", "text": "r2"}]}, {"role": "assistant", "content": "done"}]

# messages, and further arguments of apply_chat_template
CONVERSATIONS = [
    ([_USER], {"add_generation_prompt": True}),
    ([_USER], {"add_generation_prompt": False}),
    ([{"role": "system", "content": "You are helpful."}, {"role": "user", "content": [_IMAGE, {"type": "text", "text": "Describe this image."}]}], {"add_generation_prompt": True}),
    ([{"role": "user", "content": [_IMAGE, {"image": "x.jpg"}, _VIDEO, {"type": "text", "text": "Compare."}]}], {"add_generation_prompt": True, "add_vision_id": True}),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a"}, {"video": "v"}, {"text": "b"}]}], {"add_generation_prompt": True}),
    ([{"role": "user", "content": "Weather in Zürich?"}], {"add_generation_prompt": True, "tools": [_WEATHER]}),
    ([{"role": "system", "content": "S"}, {"role": "user", "content": "Weather in Zürich?"}], {"add_generation_prompt": True, "tools": [_WEATHER, _WEATHER]}),
    ([{"role": "system", "content": [{"type": "text", "text": "S"}, _IMAGE, {"text": "T"}]}, _USER], {"add_generation_prompt": True, "tools": [_WEATHER]}),
    ([{"role": "system", "content": [{"type": "text", "text": "S"}, {"text": "T"}]}, _USER], {"add_generation_prompt": False}),
    (_CALLS, {"add_generation_prompt": False}),
    (_CALLS, {"add_generation_prompt": True, "tools": [_WEATHER], "add_vision_id": True}),
    ([{"role": "assistant", "content": "let me", "tool_calls": [{"name": "f", "arguments": {}}]}], {"add_generation_prompt": False}),
    ([{"role": "user", "content": "hi"}, {"role": "system", "content": "late"}, {"role": "user", "content": "x"}], {"add_generation_prompt": True}),
    ([{"role": "user", "content": "hi"}, {"role": "narrator", "content": "dropped"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}, _IMAGE]}], {"add_generation_prompt": True}),
    ([{"role": "user", "content": "1"}, {"role": "assistant", "content": "<think>\nold\n</think>\n\nA"}, {"role": "user", "content": "2"}, {"role": "assistant", "content": "<think>\nnew\n</think>\n\nB"}], {"add_generation_prompt": False}),
    ([{"role": "user", "content": "1"}, {"role": "assistant", "reasoning_content": "why", "content": "A", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5, None, True]}}}]}, {"role": "tool", "content": "r"}], {"add_generation_prompt": True}),
    ([{"role": "user", "content": "<tool_response>\nx\n</tool_response>"}, {"role": "assistant", "content": ""}], {"add_generation_prompt": True, "enable_thinking": False}),
    ([{"role": "user", "content": []}], {"add_generation_prompt": True}),
]

# messages; the grid of each image and video, and for videos frame indices and the container's frame rate
PROMPTS = [
    ([{"role": "user", "content": [_IMAGE, {"type": "text", "text": "Describe this image."}]}], [{"grid": [1, 4, 6]}]),
    ([{"role": "user", "content": [{"type": "text", "text": "A "}, _IMAGE, {"type": "text", "text": " and "}, _IMAGE]}, {"role": "assistant", "content": "ok"}, {"role": "user", "content": [_IMAGE]}], [{"grid": [1, 2, 2]}, {"grid": [1, 6, 2]}, {"grid": [1, 4, 4]}]),
    ([{"role": "user", "content": [_VIDEO, {"type": "text", "text": "Describe."}]}], [{"grid": [2, 4, 4], "frames": [0, 16, 31, 47], "fps": 30}]),
    ([{"role": "user", "content": [{"type": "text", "text": "trailing space "}, _VIDEO]}], [{"grid": [2, 2, 4], "frames": [0, 10, 20], "fps": 29.97}]),
    ([{"role": "user", "content": [_VIDEO, _IMAGE, _VIDEO, {"type": "text", "text": "?"}]}], [{"grid": [3, 2, 2], "frames": [0, 300, 600, 900, 1200, 1500], "fps": 24.0}, {"grid": [1, 2, 4]}, {"grid": [1, 4, 2], "frames": [0, 99999], "fps": 25}]),
    ([_USER], []),
]
