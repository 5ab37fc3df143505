"""Presidio's pattern recognisers, run by its own interpreter: `.peers/presidio`.

Standard input has a JSON list of [text, language]; standard output, lists of
[begin, end).
Without a model of a language: names are not found, numbers and addresses are.
"""

import json
import sys

from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider

LANGUAGES = ("en", "es", "de", "zh")


def main() -> None:
    configuration = {
        "nlp_engine_name": "no_op",
        "models": [{"lang_code": each, "model_name": "none"} for each in LANGUAGES],
    }
    engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    registry = RecognizerRegistry(supported_languages=[*LANGUAGES])
    registry.load_predefined_recognizers(languages=[*LANGUAGES], nlp_engine=engine)
    analyzer = AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=[*LANGUAGES]
    )
    answers = []
    for text, language in json.load(sys.stdin):
        found = analyzer.analyze(text=text, language=language)
        answers.append(sorted((each.start, each.end) for each in found))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
