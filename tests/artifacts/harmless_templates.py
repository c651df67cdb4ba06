"""Chat templates as model families write them, with the constructs that each of them is known for.

Written for these tests after the public templates of the families; wording and tokens are shortened.
"""

# ruff: noqa: E501, RUF001  (templates keep their long lines, and their tokens as they are)

from __future__ import annotations

from collections.abc import Mapping

TEMPLATES: Mapping[str, str] = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama-2": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set said = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set said = false %}{% endif %}{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and said != false %}{% set content = '<<SYS>>\\n' + said + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama-3": """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One tool-call at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' + arg_val + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
        {{- '"parameters": ' }}{{- tool_call.arguments | tojson }}
    {%- elif message.content is mapping or message.content is iterable %}{{- message.content | tojson }}
    {%- endif %}
{%- endfor %}""",
    "qwen-2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- else %}{{- 'You are helpful.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- tool_call.name }}{{- tool_call.arguments | tojson }}
        {%- endfor %}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}""",
    "qwen-3": """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string
        and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set reasoning_content = '' %}
    {%- if '</think>' in content %}
        {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if loop.index0 > ns.last_query_index %}{{- reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content }}{%- endif %}
    {%- if (message.role == "tool") and (loop.last or loop.nextitem.role != 'tool') %}{{- '<|im_end|>' }}{%- endif %}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}""",
    "qwen-3-coder": """{% macro render_extra_keys(json_dict, handled_keys) %}
    {%- if json_dict is mapping %}
        {%- for json_key in json_dict if json_key not in handled_keys %}
            {%- if json_dict[json_key] is mapping or json_dict[json_key] is sequence %}
                {{- '<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}
            {%- else %}{{- json_dict[json_key] | string }}{%- endif %}
        {%- endfor %}
    {%- endif %}
{% endmacro %}
{%- for tool in tools %}
    {%- for name, fields in tool.parameters.properties | items %}{{- render_extra_keys(fields, ['name', 'type']) }}{%- endfor %}
    {%- for key in fields.keys() | reject("in", handled) %}{{- key | replace("-", "_") }}{%- endfor %}
{%- endfor %}""",
    "mistral": """{%- set system = 'You are helpful.' %}
{%- set loop_messages = messages[1:] if messages[0]["role"] == "system" else messages %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("Roles must alternate") }}{%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{%- for message in loop_messages %}
    {%- if tools is not none and (message == user_messages[-1]) %}
        {{- "[AVAILABLE_TOOLS] [" }}
        {%- for tool in tools %}
            {%- for key, val in tool.function.items() if key != "return" %}
                {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- key + val|tojson }}{%- endif %}
            {%- endfor %}
        {%- endfor %}
    {%- endif %}
    {%- if message.id|length != 9 %}{{- raise_exception("Ids of length 9!") }}{%- endif %}
    {{- "[INST] " + message["content"] + "[/INST]" }}
{%- endfor %}""",
    "mistral-7": """{%- macro block(content) -%}
    {%- for part in content -%}
        {%- if part['type'] == 'text' %}{{ part['text'] }}{%- elif part['type'] in ['image', 'image_url'] %}[IMG]
        {%- else %}{{ raise_exception('Only text and images: ' + part['type']) }}{%- endif %}
    {%- endfor -%}
{%- endmacro -%}
{%- set today = strftime_now("%Y-%m-%d") %}
{%- set said = "Knowledge ends 2023-10-01. Today is " + today + '\\n' %}
{%- for message in messages %}{{ block(message['content']) if message['content'] is not string else message.content }}{%- endfor %}
{{- said | default('x', true) | trim }}""",
    "gemma-2": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim "
    "+ '<end_of_turn>\\n' }}{% endfor %}",
    "gemma-tools": """{%- macro format_argument(argument, escape_keys=True) -%}
    {%- if argument is string -%}{{- '<|' + argument + '|>' -}}
    {%- elif argument is boolean -%}{{- 'true' if argument else 'false' -}}
    {%- elif argument is mapping -%}
        {%- set ns = namespace(found_first=false) -%}
        {%- for key, value in argument | dictsort -%}
            {%- if ns.found_first %},{% endif -%}{%- set ns.found_first = true -%}
            {{- key -}}:{{- format_argument(value, escape_keys=escape_keys) -}}
        {%- endfor -%}
    {%- elif argument is sequence -%}{%- for item in argument -%}{{- format_argument(item) -}}{%- endfor -%}
    {%- else -%}{{- argument -}}{%- endif -%}
{%- endmacro -%}
{%- for tool in tools -%}
    {{- tool['function']['name'] | upper -}}{{- format_argument(tool['type'] | map('upper') | list) -}}
{%- endfor -%}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}
{%- for message in messages %}{%- if message['role'] == 'system' %}
{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}
{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}
{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}
{%- for message in messages %}{%- if message['role'] == 'assistant' and message['content'] is none %}
{%- for tool in message['tool_calls'] %}{{ '<｜tool▁sep｜>' + tool['function']['name'] + tool['function']['arguments'] }}{%- endfor %}
{%- endif %}{% set content = message['content'] %}{% if '</think>' in content %}
{% set content = content.split('</think>', 1)[1] %}{% endif %}{%- endfor %}""",
    "phi-3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
    "phi-4-tools": "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and "
    "message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['tools'] + '<|/tool|>' }}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}",
    "command-r": """{%- set types = {'string': 'str', 'integer': 'int', 'number': 'float'} -%}
{%- macro to_python(spec) -%}
    {%- if types[spec.type] is defined -%}{{ types[spec.type] }}
    {%- elif spec.type == "array" -%}List[{{ to_python(spec.items) }}]{%- else -%}Any{%- endif -%}
{%- endmacro -%}
{%- for tool in tools -%}
    {%- for name, spec in tool.parameters.properties.items() -%}
        {%- if not spec.type in types.keys() -%}{{ loop.cycle('a', 'b') }}{%- endif -%}{{ name }}: {{ to_python(spec) }}
    {%- endfor -%}
    {%- for i in range(messages|length) -%}{{ messages[i]['content'] }}{%- endfor -%}
    {%- for i in range(messages|length - 1, -1, -1) -%}{{ messages[i].role }}{%- break -%}{%- endfor -%}
{%- endfor -%}""",
    "generation-mask": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ m.content }}{% continue %}{% endif %}{% endfor %}",
    "joiner-and-cycler": "{% set comma = joiner(', ') %}{% set odd = cycler('a', 'b') %}{% for t in tools %}{{ comma() }}"
    "{{ odd.next() }}{{ t.name|capitalize }}{% endfor %}{% filter trim %} x {% endfilter %}",
    "call-block": "{% macro frame(title) %}[{{ title }}]{% if caller is defined %}{{ caller() }}{% endif %}{% endmacro %}"
    "{% call frame('x') %}{% for m in messages %}{{ m.content }}{% endfor %}{% endcall %}"
    "{% set text %}{{ bos_token }}{% endset %}{{ text|trim }}{% do seen.append(messages[0].role) %}",
}
