"""Read the user's own data: a table of texts and labels, CoNLL entities, or a chat file.

A loader stops at what cannot be used, with place and remedy, and warns of what may mislead.
"""

from helpers.tables.chat import ChatTable, load_chat, write_chat
from helpers.tables.conll import NerTable, load_ner, spans, to_iob2
from helpers.tables.csv_jsonl import Table, load_table
from helpers.tables.text import TableError

__all__ = ["ChatTable", "NerTable", "Table", "TableError", "load_chat", "load_ner", "load_table"]
__all__ += ["spans", "to_iob2", "write_chat"]
