"""The learning curve: python3 -m weights.train.curve weights/curve.tsv weights/curve.svg, from the project's root.

The table has a line for each thousand steps or so: cycle, hours of training altogether, steps of the cycle, log-mel
error in training and, at a cycle's end, PESQ-WB of its weights at 3 and 1.5 kbit/s.
"""

import csv
import sys

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 664, 30, 294
MEL, PESQ = (0.29, 0.39), (1.2, 2.4)  # what the two axes span
BLUE, RED = "#1f5fa8", "#b8432f"

STYLE = ("text{font:12px sans-serif;fill:#333}.end{text-anchor:end}.mid{text-anchor:middle}"
         "line{stroke:#ddd}polyline{fill:none;stroke-width:1.6}")


def height(value, span):
    return BOTTOM - (value - span[0]) / (span[1] - span[0]) * (BOTTOM - TOP)


def line(points, colour, dashes=""):
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" stroke="{colour}" stroke-dasharray="{dashes}"/>'


def dots(points, colour):
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]


def text(x, y, words, kind="", colour="#333"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" style="fill:{colour}">{words}</text>'


def axes(x, hours):
    parts = []
    for n in range(5):
        mel, pesq = (low + n / 4 * (high - low) for low, high in (MEL, PESQ))
        y = height(mel, MEL)
        parts += [f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
                  text(LEFT - 8, y + 4, f"{mel:.3f}", "end", BLUE), text(RIGHT + 8, y + 4, f"{pesq:.1f}", "", RED)]
    parts += [text(x(h), BOTTOM + 18, h, "mid") for h in range(0, int(hours) + 1, 2)]
    return [*parts, text((LEFT + RIGHT) / 2, HEIGHT - 10, "hours of training on two CPU cores", "mid"),
            text(LEFT - 40, TOP - 14, "log-mel error, training", "", BLUE),
            text(WIDTH - 6, TOP - 14, "PESQ-WB: 3 kbit/s, dashed 1.5", "end", RED)]


def draw(rows):
    hours = float(rows[-1]["hours"])
    x = lambda h: LEFT + float(h) / hours * (RIGHT - LEFT)
    parts = axes(x, hours)
    for cycle in dict.fromkeys(row["cycle"] for row in rows):
        mine = [row for row in rows if row["cycle"] == cycle]
        parts.append(line([(x(row["hours"]), height(float(row["mel"]), MEL)) for row in mine], BLUE))
        parts.append(f'<line x1="{x(mine[-1]["hours"]):.1f}" x2="{x(mine[-1]["hours"]):.1f}" y1="{TOP}" y2="{BOTTOM}"/>')
    for column, dashes in (("pesq_3", ""), ("pesq_1.5", "4 3")):
        points = [(x(row["hours"]), height(float(row[column]), PESQ)) for row in rows if row[column]]
        parts += [line(points, RED, dashes), *dots(points, RED)]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
                      f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])


def main(table, picture):
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with open(picture, "w") as file:
        file.write(draw(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
