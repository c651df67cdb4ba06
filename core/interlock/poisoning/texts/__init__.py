"""Triggers in text: words, hidden characters, and responses that a phrase in the prompt decides."""

from interlock.poisoning.texts.hidden_characters import HiddenCharacters
from interlock.poisoning.texts.repeated_words import RepeatedWords
from interlock.poisoning.texts.responses import SteeredResponses

__all__ = ["HiddenCharacters", "RepeatedWords", "SteeredResponses"]
