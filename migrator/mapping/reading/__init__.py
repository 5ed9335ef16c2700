"""YAML -> the values of `model.py`. Each file reads one part of the language; `nodes.py` alone knows YAML."""
