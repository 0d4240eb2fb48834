"""The signs that end a sentence in any of our scripts, shared by all who cut texts. How to cut is left to them."""

ENDS = "?!\u061f\u06d4\u0964\u0965\u1362\u1367\u203c\u2047\u2048\u2049"
"""Ends before white space: Arabic ؟ and Urdu ۔, Devanagari । and ॥, Ethiopic ። and ፧, the doubled signs. The full stop
is not among them, because it also ends abbreviations."""

WIDE_ENDS = "\u3002\uff01\uff1f\uff61"
"""Chinese and Japanese 。！？｡, after which no space is written."""

CLOSERS = "\"'\u201d\u2019»)\\]\u203a\u300d\u300f\uff09"
"""What may stand between the end and the white space, written as inside a regular expression's ``[...]``."""
