# SPDX-License-Identifier: MIT
#
# The pictures of the report, as SVG written by hand: bars, and lanes that show a median and its
# interval.  Colours and the page behind them follow the reader's choice of
# light or dark; everything is labelled, so that no colour must be told apart to read a figure.

import math
from xml.sax.saxutils import escape

WIDTH = 820
RIGHT = 70      # room for the last figure beside its bar
CHARACTER = 6.6  # at most this wide on average, at 12 px
STYLE = """<style>
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.note { fill: #59636e; font-size: 11px }
.page { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0 }
.axis { stroke: #59636e }
.noise { fill: #818b98; fill-opacity: .22 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.page { fill: #0d1117; stroke: #3d444d }
.grid { stroke: #3d444d }
.axis { stroke: #9198a1 }
}
</style>"""
COLOURS = {  # readable on white and on black
    "raw epoll": "#818b98", "raw io_uring": "#b0935a", "vigil epoll": "#1f6feb",
    "vigil io_uring": "#e0531f", "vigil": "#1f6feb", "idle": "#1f6feb", "used": "#e0a01f",
    "no limits": "#1f6feb", "idle limits": "#e0a01f",
    "libuv": "#2da06a", "libevent": "#b8549f", "libevent bufferevent": "#8a63d2",
    "libev": "#b58900", "Boost.Asio": "#2f9bb3", "Go": "#4fa3a5", "Node": "#6f9e3f",
    "Python asyncio": "#a0703f", "vigil poll": "#6aa5f8", "vigil select": "#97c0fb",
    "array heap": "#818b98", "eventfd": "#818b98",
}
OTHER = "#818b98"


class Picture:
    """Elements on a page of WIDTH by `height`."""

    def __init__(self, height, title, note):
        self.height = height
        self.elements = [f'<title>{escape(title)}</title>', STYLE,
                         f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" '
                         f'height="{height - 1}" rx="6"/>']
        self.text(16, 24, title, "title")
        self.text(16, 42, note, "note")

    def text(self, x, y, said, kind="", anchor="start"):
        shown = f' class="{kind}"' if kind else ""
        self.elements.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{shown}>'
                             f'{escape(said)}</text>')

    def line(self, x1, y1, x2, y2, kind="", colour=None, width=1):
        how = f'class="{kind}"' if kind else f'stroke="{colour}"'
        self.elements.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                             f'{how} stroke-width="{width}"/>')

    def box(self, x, y, width, height, colour=None, kind=""):
        how = f'class="{kind}"' if kind else f'fill="{colour}"'
        self.elements.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
                             f'height="{height:.1f}" {how}/>')

    def dot(self, x, y, colour, radius=4):
        self.elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def svg(self):
        inside = "\n".join(self.elements)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" '
                f'viewBox="0 0 {WIDTH} {self.height}" role="img">\n'
                f'<!-- SPDX-License-Identifier: MIT; made by `make report` -->\n{inside}\n</svg>\n')


class Scale:
    """Figures from `low` to `high` between two places, in steps that are easily read."""

    def __init__(self, low, high, left, right, log=False):
        self.log, self.left, self.right = log, left, right
        if log:
            self.low = 10 ** math.floor(math.log10(low))
            self.high = max(high, self.low * 10)
            self.ticks = [10 ** power for power in range(round(math.log10(self.low)),
                                                         math.floor(math.log10(self.high)) + 1)]
        else:
            step = 10 ** math.floor(math.log10(high))
            step = next(step / part for part in (1, 2, 5, 10) if high / (step / part) >= 4)
            self.low, self.high = low, high
            self.ticks = [step * i for i in range(math.ceil(low / step),
                                                  math.floor(high / step + 1e-9) + 1)]

    def at(self, figure):
        figure = min(max(figure, self.low), self.high)
        if self.log:
            part = math.log(figure / self.low) / math.log(self.high / self.low)
        else:
            part = (figure - self.low) / (self.high - self.low)
        return self.left + part * (self.right - self.left)


def number(figure):
    """Three digits that matter, and thousands set apart."""
    if figure is None:
        return "-"
    if abs(figure) >= 100 or figure == int(figure):
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def colour_of(name):
    return COLOURS.get(name.removesuffix(" again"), OTHER)


def legend_lines(names, left):
    """Where each name of a legend goes: (name, x, line)."""
    placed, x, line = [], left, 0
    for name in names:
        width = 26 + CHARACTER * len(name)
        if x + width > WIDTH - 16 and x > left:
            x, line = left, line + 1
        placed.append((name, x, line))
        x += width
    return placed


def draw_legend(picture, placed, top):
    for name, x, line in placed:
        picture.dot(x + 5, top + 18 * line - 4, colour_of(name))
        picture.text(x + 15, top + 18 * line, name)


def draw_axis(picture, scale, top, bottom, label):
    for tick in scale.ticks:
        x = scale.at(tick)
        picture.line(x, top, x, bottom, "grid")
        picture.text(x, bottom + 16, f"{tick:,.10g}", "note", "middle")
    picture.line(scale.left, bottom, scale.right, bottom, "axis")
    picture.text((scale.left + scale.right) / 2, bottom + 34, label, "note", "middle")


def bars(title, note, label, groups, log=False):
    """Horizontal bars, one for each figure: groups are (name, [(series, figure)]).  A group of one
    figure has its own name's colour, others those of the series, which a legend tells."""
    groups = [(name, [(series, figure) for series, figure in figures if figure is not None])
              for name, figures in groups]
    series = list(dict.fromkeys(one for _, figures in groups for one, _ in figures if one))
    figures = [figure for _, some in groups for _, figure in some]
    left = 24 + CHARACTER * max(len(name) for name, _ in groups)
    placed = legend_lines(series, 16)
    top = 58 + (18 * (placed[-1][2] + 1) if placed else 0)
    thick, gap = (18, 8) if not series else (12, 10)
    bottom = top + sum(thick * len(some) + gap for _, some in groups)
    picture = Picture(round(bottom + 48), title, note)
    draw_legend(picture, placed, 64)
    scale = Scale(min(figures) if log else 0, max(figures) * (1 if log else 1.02), left,
                  WIDTH - RIGHT, log)
    draw_axis(picture, scale, top, bottom, label)
    y = top + gap / 2
    for name, some in groups:
        picture.text(left - 8, y + thick * len(some) / 2 + 4, name, anchor="end")
        for one, figure in some:
            colour = colour_of(one or name)
            picture.box(left, y + 1, scale.at(figure) - left, thick - 2, colour)
            picture.text(scale.at(figure) + 5, y + thick / 2 + 4, number(figure), "note")
            y += thick
        y += gap
    return picture.svg()


def lanes(title, note, label, rows, noise_of):
    """A row of lanes for each cell: (name, {series: (median, low, high)}).  The series
    `noise_of` has no lane; its interval is the band behind the others."""
    series = list(dict.fromkeys(one for _, some in rows for one in some if one != noise_of))
    left, lane, gap = 24 + CHARACTER * max(len(name) for name, _ in rows), 11, 14
    placed = legend_lines(series, 16)
    top = 58 + 18 * (placed[-1][2] + 1) + 14
    bottom = top + sum(lane * len(set(some) - {noise_of}) + gap for _, some in rows)
    most = max(high for _, some in rows for _, _, high in some.values())
    picture = Picture(round(bottom + 48), title, note)
    draw_legend(picture, placed, 64)
    scale = Scale(0, min(max(most, 1.2), 2), left, WIDTH - 24)
    draw_axis(picture, scale, top, bottom, label)
    y = top + gap / 2
    for name, some in rows:
        tall = lane * len(set(some) - {noise_of})
        if noise_of in some:
            _, low, high = some[noise_of]
            picture.box(scale.at(low), y, scale.at(high) - scale.at(low), tall, kind="noise")
        picture.text(left - 8, y + tall / 2 + 4, name, anchor="end")
        for one in (one for one in series if one in some):
            median, low, high = some[one]
            middle = y + lane / 2
            picture.line(scale.at(low), middle, scale.at(high), middle, colour=colour_of(one),
                         width=1.5)
            picture.dot(scale.at(median), middle, colour_of(one), 4.5 if "vigil" in one else 3.5)
            y += lane
        y += gap
        picture.line(16, y - gap / 2, WIDTH - 16, y - gap / 2, "grid")
    picture.line(scale.at(1), top, scale.at(1), bottom, "axis")
    return picture.svg()
