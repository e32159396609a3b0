"""Make the built-in data set ``glyphs``: capital letters rendered from free fonts that Debian packages.

    python scripts/make_glyphs.py FONTS

downloads the packages listed below into the folder FONTS (with ``apt-get download``; nothing is installed),
unpacks them there, renders A-Z from each usable font, and writes ``glyphs.png``, ``glyphs.json`` and
``GLYPHS.md`` into ``src/temperance/data``. The same packages give the same files, byte for byte.

It needs Pillow, NumPy and fontTools, and a Debian or Ubuntu system.
"""

import argparse
import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont, TTLibError
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE = 28
INK = 22  # the largest letter of a font fits into this many pixels
PER_FAMILY = 2
# Mean absolute difference of two fonts' letters, of 255, below which the later one is the same design.
SAME_DESIGN = 5.0
DATA = Path(__file__).parents[1] / "src" / "temperance" / "data"
PACKAGES = (Path(__file__).parent / "glyph_packages.txt").read_text().split()

# Fonts whose capitals a person could not read, or which are not capitals of the Latin alphabet.
EXCLUDED: dict[str, str] = {
    r"fut?hark|klingon|pIqaD|dingbat|D050000L|keyboard|symbol|ornament|border": "not letters",
    r"flatline|rampart|solothurn": "ornaments more than letters, or capitals drawn as small letters",
    r"small ?caps|\bsc\b|caps\b": "capitals of another font of the family",
    r"math|music|mono ?space ?fallback|cursor|extension|cmex|cmsy|msam|msbm|esint|stmary|wasy|rsfs|eufm": (
        "mathematical alphabets"
    ),
}

# Designs made to look like one another, or by the same hands: kept on one side of every split.
CLONES = {
    "helvetica": (
        r"helvet|liberation ?sans|arimo|nimbus ?sans|heros|free ?sans|garuda|switzera|umpush|"
        r"nachlieli|cyrvetica|sans (condensed )?uralic|loma|waree"
    ),
    "times": (
        r"times|time-? ?roman|liberation ?serif|tinos|nimbus ?roman|termes|free ?serif|norasi|stix|"
        r"roman uralic|phon[eé]ti|babel|frank ?ruehl|david clm|taamey|hadasim"
    ),
    "courier": (
        r"courier|cousine|nimbus ?mono|cursor|free ?mono|liberation ?mono|mono uralic|"
        r"tlwg ?(mono|typo|typist|typewriter)|miriam mono"
    ),
    "palatino": r"pallad|pagella|palatino|p052|kinnari",
    "bookman": r"bookman|bonum",
    "schoolbook": r"schoolbook|schola|c059",
    "chancery": r"chancery|chorus|z003",
    "avant-garde": r"gothic ?l|adventor|avant|urw ?gothic",
    "vera": r"deja ?vu|vera\b|bitstream|verana",
    "open-sans": r"open ?sans|droid|noto ?sans|noto mono|nushu",
    "noto-serif": r"noto ?serif",
    "lato": r"lato|carlito",
    "gentium": r"gentium",
    "charis": r"charis|doulos|galatia",
    "computer-modern": r"\bcm|computer ?modern|latin ?modern|\blm|cmu|concrete|old ?standard",
    "anonymous": r"anonymous",
    "averia": r"averia",
    "b612": r"b612",
    "beteckna": r"beteckna",
    "cabin": r"cabin",
    "dustismo": r"dustismo",
    "elstob": r"elstob|junicode|fell|^im ",
    "eurofurence": r"eurofurence|monofur",
    "go": r"^go\b",
    "hamlet": r"hamlet|jessen|ptolemy",
    "ikarius": r"ikarius|libris",
    "inter": r"^inter",
    "irianis": r"irianis",
    "karla": r"^kar(la|milla)",
    "libertine": r"libertine",
    "biolinum": r"biolinum",
    "lobster": r"lobster",
    "mplus": r"m\+|mplus|migmix|ricty",
    "nanum-sans": r"nanum ?(barun|gothic|square)",
    "opendyslexic": r"open-?dyslexic",
    "pt": r"^pt ",
    "roadgeek": r"roadgeek",
    "roboto": r"roboto",
    "romande": r"romande",
    "routed-gothic": r"routed ?gothic",
    "yrsa": r"yrsa|rasa",
    "beuron": r"beuron|proto-roman|hybrid",
}

LICENCES = [
    ("OFL-1.1", r"SIL Open Font License|OFL"),
    ("Apache-2.0", r"Apache"),
    ("Bitstream-Vera", r"Bitstream Vera"),
    ("LPPL", r"LPPL|LaTeX Project|GUST"),
    ("GPL with font exception", r"font exception|embed"),
    ("GPL", r"GPL|GNU General Public"),
    ("MIT", r"\bMIT\b|Expat"),
    ("BSD-3-Clause", r"BSD"),
    ("CC-BY", r"CC-BY|Creative Commons Attribution"),
    ("CC0-1.0", r"CC0"),
    ("Public domain", r"[Pp]ublic[ -][Dd]omain"),
    ("Free (see package)", r"(?i)freely|permission is (hereby )?granted|free of charge"),
]


@dataclass(frozen=True)
class Font:
    """A usable font: where it comes from, and its 26 pictures."""

    name: str
    family: str
    style: str
    package: str
    pictures: np.ndarray

    @property
    def order(self) -> tuple[int, str]:
        """Plain styles first, so that these are kept where a family has too many."""
        plain = ("regular", "roman", "book", "medium", "normal", "")
        rank = {
            "bold": 1,
            "italic": 2,
            "oblique": 2,
            "bold italic": 3,
            "bold oblique": 3,
            "light": 4,
        }
        style = self.style.lower()
        return (0 if style in plain else rank.get(style, 5), self.name)


def download(folder: Path) -> dict[Path, tuple[str, str]]:
    """Font files by package and version, fetched where they are missing."""
    files = {}
    for package in sorted(set(PACKAGES)):
        if not list(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        archive = sorted(folder.glob(f"{package}_*.deb"))[-1]
        target = folder / package
        if not target.exists():
            subprocess.run(["dpkg-deb", "-x", archive, target], check=True)
        version = archive.name.split("_")[1].replace("%3a", ":")
        for path in sorted(target.rglob("*")):
            if path.suffix.lower() in (".ttf", ".otf") and path.is_file() and not path.is_symlink():
                files[path] = (package, version)
    return files


def licence(folder: Path, package: str) -> str:
    """A short name for the licence that the package's copyright file states."""
    path = folder / package / "usr/share/doc" / package / "copyright"
    text = path.read_text(errors="replace") if path.exists() else ""
    # What the packaging itself is under does not matter here.
    text = re.sub(r"(?ms)^Files: *debian/\*.*?(?=^Files:|^License:|\Z)", "", text)
    for short, pattern in LICENCES:
        if re.search(pattern, text):
            return short
    return ""


def holders(folder: Path, package: str) -> str:
    """Who holds the copyright, as the package states it."""
    path = folder / package / "usr/share/doc" / package / "copyright"
    text = path.read_text(errors="replace") if path.exists() else ""
    found = re.findall(r"(?im)^\s*copyright:?\s+(.{4,100})$", text)
    names = [re.sub(r"\s*<[^>]*@[^>]*>|\S+@\S+|\s+(?=\s)", "", line).strip(" .|") for line in found]
    return "; ".join(list(dict.fromkeys(names))[:2]) or "see the package"


def load(path: Path, package: str) -> Font | None:
    """The font in a file, or None if it cannot be used."""
    try:
        with TTFont(path, lazy=True, fontNumber=0) as font:
            characters = font.getBestCmap() or {}
            if any(ord(letter) not in characters for letter in LETTERS):
                return None
            # One glyph for several letters: a missing-glyph box, or an alphabet without them.
            if len({characters[ord(letter)] for letter in LETTERS}) < len(LETTERS):
                return None
            names = font["name"]
            family = names.getDebugName(16) or names.getDebugName(1) or path.stem
            style = names.getDebugName(17) or names.getDebugName(2) or "Regular"
    except (TTLibError, KeyError, AssertionError, OSError, AttributeError):
        return None
    name = f"{family} {style}".strip()
    if any(re.search(pattern, name, re.IGNORECASE) for pattern in EXCLUDED):
        return None
    pictures = render(path)
    if pictures is None:
        return None
    return Font(name, family_of(family), style, package, pictures)


def family_of(name: str) -> str:
    """A family's id; clones of one design share one."""
    for family, pattern in CLONES.items():
        if re.search(pattern, name, re.IGNORECASE):
            return family
    words = re.sub(
        r"(?i)\b(regular|bold|italic|oblique|light|medium|thin|black|heavy|semi|demi|extra|ultra|"
        r"condensed|cond|narrow|wide|expanded|extended|outline|ot|otf|ttf|std|pro|no\.?\s*\d+)\b",
        " ",
        name,
    )
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "unnamed"


def render(path: Path) -> np.ndarray | None:
    """The 26 letters, white on black, one scale for all and each in the middle of its square."""
    try:
        large = ImageFont.truetype(str(path), 200)
        boxes = [large.getbbox(letter) for letter in LETTERS]
    except (OSError, ValueError):
        return None
    sides = [(right - left, bottom - top) for left, top, right, bottom in boxes]
    if min(min(side) for side in sides) <= 0:
        return None
    # A wide W may be scaled by a font's usual letter rather than shrink all the others.
    height = max(h for _, h in sides)
    width = sorted(w for w, _ in sides)[-3]
    points = 200 * INK / max(height, width * 0.95)
    try:
        font = ImageFont.truetype(str(path), points)
    except (OSError, ValueError):
        return None
    pictures = []
    for letter in LETTERS:
        left, top, right, bottom = font.getbbox(letter)
        canvas = Image.new("L", (max(SIZE, right - left + 2), max(SIZE, bottom - top + 2)))
        place = (
            (canvas.width - (right - left)) / 2 - left,
            (canvas.height - (bottom - top)) / 2 - top,
        )
        ImageDraw.Draw(canvas).text(place, letter, fill=255, font=font)
        if canvas.size != (SIZE, SIZE):
            side = max(canvas.size)
            square = Image.new("L", (side, side))
            square.paste(canvas, ((side - canvas.width) // 2, (side - canvas.height) // 2))
            canvas = square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(canvas))
    found = np.stack(pictures)
    ink = (found > 127).sum(axis=(1, 2))
    # Blank, hairline or solid: nothing that a person would read at this size.
    if ink.min() < 12 or np.median(ink) < 35 or np.median(ink) > 420:
        return None
    if len({picture.tobytes() for picture in found}) < len(LETTERS):
        return None
    # Sixteen levels of grey are as good to the eye and to learning, and take half the bytes.
    return (np.round(found / 17) * 17).astype(np.uint8)


def select(fonts: list[Font]) -> list[Font]:
    """At most so many fonts of a family, no design twice, no picture twice."""
    kept: list[Font] = []
    seen: set[bytes] = set()
    count: Counter[str] = Counter()
    for font in sorted(fonts, key=lambda f: (f.order[0], f.family, f.name, f.package)):
        images = {picture.tobytes() for picture in font.pictures}
        if count[font.family] >= PER_FAMILY or images & seen or len(images) < len(LETTERS):
            continue
        ours = font.pictures.astype(np.int16)
        if any(np.abs(ours - other.pictures).mean() < SAME_DESIGN for other in kept):
            continue
        kept.append(font)
        seen |= images
        count[font.family] += 1
    return sorted(kept, key=lambda f: (f.family, f.name))


def write(fonts: list[Font], folder: Path, versions: dict[str, str]) -> None:
    """The sheet, its description and the page on licences."""
    sheet = np.concatenate([np.concatenate(list(font.pictures), axis=1) for font in fonts])
    levels = Image.fromarray(sheet // 17).convert("P")
    levels.putpalette([level * 17 for level in range(16) for _ in range(3)])
    levels.save(DATA / "glyphs.png", optimize=True, bits=4)
    lines = [
        json.dumps(
            {
                "name": font.name,
                "family": font.family,
                "style": font.style,
                "package": font.package,
                "version": versions[font.package],
                "licence": licence(folder, font.package),
            },
            ensure_ascii=False,
        )
        for font in fonts
    ]
    head = f'{{"letters": "{LETTERS}", "size": {SIZE}, "fonts": [\n'
    (DATA / "glyphs.json").write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    (DATA / "GLYPHS.md").write_text(page(fonts, folder, versions), encoding="utf-8")


def page(fonts: list[Font], folder: Path, versions: dict[str, str]) -> str:
    """What the set is and whose letters it shows."""
    families = len({font.family for font in fonts})
    rows = []
    for package in sorted({font.package for font in fonts}):
        names = sorted({font.family for font in fonts if font.package == package})
        rows.append(
            f"| {package} | {versions[package]} | {licence(folder, package)} | "
            f"{holders(folder, package).replace('|', '/')} | {', '.join(names)} |"
        )
    return (
        "# The data set `glyphs`\n\n"
        f"{len(fonts) * len(LETTERS):,} pictures: the letters A-Z from {len(fonts)} fonts of {families} "
        "families, 28 × 28 pixels, 16 levels of grey. `glyphs.png` has one row a font and one column a "
        "letter; `glyphs.json` says which font each row is. Fonts of one design, or copies of it, share a "
        "family, so that a split can hold out whole families.\n\n"
        "`scripts/make_glyphs.py` makes it from the Debian packages below. The pictures are small "
        "renderings of letters; no font program is included. Each font stays under its own licence, whose "
        "full text is in the package named.\n\n"
        "| package | version | licence | copyright | families |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("fonts", type=Path, help="folder for the packages")
    folder = parser.parse_args().fonts.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    files = download(folder)
    versions = dict(files.values())
    loaded = [load(path, package) for path, (package, _) in files.items()]
    usable = [font for font in loaded if font is not None and licence(folder, font.package)]
    fonts = select(usable)
    write(fonts, folder, versions)
    size = sum((DATA / name).stat().st_size for name in ("glyphs.png", "glyphs.json"))
    families = len({font.family for font in fonts})
    print(
        f"{len(files)} files, {len(usable)} usable, {len(fonts)} fonts of {families} families, {size:,} bytes"
    )


if __name__ == "__main__":
    main()
