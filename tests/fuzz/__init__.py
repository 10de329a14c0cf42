"""
Coverage-guided fuzzing of the codecs: `make fuzz`, outside `make test`.

targets.py says what must hold of any input, inputs.py where inputs come from, target.py runs one
target under atheris, __main__.py all of them in turn. Only they import each other.
"""
