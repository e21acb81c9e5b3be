"""metrics/details/ → the numbers and sentences that README.md and the studies' pages quote of it.

The pages are their authors': only what is quoted is written anew. So they are no outputs of the stage, which DVC would delete.
"""

from pathlib import Path

from stages import studies
from stages.base import storage
from stages.console import command
from stages.drawing.pages import rendered

README = Path("README.md")
FOLDER = Path("stages", "studies")
AS_IT_IS = "surrogateescape"  # bytes that are no UTF-8, and line ends, are the author's


def main() -> None:
    for path, text in stale().items():
        storage.save_bytes(path, text.encode(errors=AS_IT_IS))


def stale() -> dict[Path, str]:
    """The pages that do not say what the metrics say, as they should be."""
    found = sorted(Path("metrics", "details").glob("*.json"))
    metrics = {path.stem: storage.load_metrics(path, (), stage="evaluate") for path in found}
    pages = {study: FOLDER / study / "README.md" for study in studies.NAMES}
    texts = {path: path.read_bytes().decode(errors=AS_IT_IS) for path in (README, *pages.values()) if path.is_file()}
    titles = {study: texts.get(path, "").partition("\n")[0].partition(": ")[2].strip() for study, path in pages.items()}
    wanted = {path: rendered(text, metrics, titles) for path, text in texts.items()}
    return {path: text for path, text in wanted.items() if text != texts[path]}


if __name__ == "__main__":
    command.run(main)
