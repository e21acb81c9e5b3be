"""The colours of every drawing, after Okabe and Ito: colour-blind people tell them apart, too."""

BASELINE, DECAY, START, BLACK = "#767676", "#0072b2", "#e69f00", "#000000"
SCREEN = {  # in CSS: on white and print, on black
    "paper": ("#ffffff", "#121517"),
    "panel": ("#f6f7f8", "#1b2024"),
    "ink": ("#16191c", "#eef1f3"),
    "soft": ("#5b6268", "#a6aeb5"),
    "grid": ("#e4e7ea", "#2d343a"),
    "baseline": (BASELINE, "#939a9f"),
    "decay": (DECAY, "#56b4e9"),
    "vermilion": ("#d55e00", "#f08c4a"),
    "green": ("#00815e", "#33c295"),
    "pink": ("#b4558a", "#dd9fc3"),
    "start": (START, "#e69f00"),
}
LINES = ("decay", "vermilion", "green", "pink", "start")  # of SCREEN, for lines beside each other
