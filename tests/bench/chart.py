"""A picture of the curves: SVG by a few lines of our own, each chart with its axes, units and legend."""
import math
import textwrap

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 70, 150, 40, 50
COLOURS = ["#1b6ca8", "#c8102e", "#2e7d32", "#e08700"]


def _escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(x, y, words, anchor="middle", size=12, more=""):
    return '<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s"%s>%s</text>' % (
        x, y, size, anchor, more, _escape(words))


def _number(value):
    if value >= 1000000:
        return "%gM" % (value / 1000000)
    return "%gk" % (value / 1000) if value >= 1000 else "%g" % value


def _ticks(least, most):
    """Powers of ten that hold all of it, and those between."""
    return range(math.floor(math.log10(least)), math.ceil(math.log10(most) or 1) + 1)


class Chart:
    """Both axes are logarithmic. series: name -> [(x, y)…]; of y three values: median, least, most."""

    def __init__(self, title, x_words, y_words, series):
        self.title, self.x_words, self.y_words = title, x_words, y_words
        self.series = {name: points for name, points in series.items() if points}
        xs = [x for points in self.series.values() for x, _ in points]
        ys = [y for points in self.series.values() for _, three in points for y in three if y > 0]
        self.x, self.y = (_ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))) if xs and ys else (None, None)

    def _place(self, x, y):
        across, up = (self.x[-1] - self.x[0]) or 1, (self.y[-1] - self.y[0]) or 1
        y = max(y, 10.0 ** self.y[0])
        return (LEFT + (math.log10(x) - self.x[0]) / across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (math.log10(y) - self.y[0]) / up * (HEIGHT - TOP - BOTTOM))

    def _axes(self):
        lines = [_text(LEFT, TOP - 18, self.title, "start", 15, ' font-weight="bold"')]
        for power in self.x:
            x, y = self._place(10.0 ** power, 10.0 ** self.y[0])
            lines.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%d" class="grid"/>' % (x, y, x, TOP))
            lines.append(_text(x, y + 16, _number(10.0 ** power)))
        for power in self.y:
            x, y = self._place(10.0 ** self.x[0], 10.0 ** power)
            lines.append('<line x1="%.1f" y1="%.1f" x2="%d" y2="%.1f" class="grid"/>' % (x, y, WIDTH - RIGHT, y))
            lines.append(_text(x - 6, y + 4, _number(10.0 ** power), "end"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, self.x_words))
        lines.append(_text(16, middle, self.y_words, more=' transform="rotate(-90 16 %.1f)"' % middle))
        return lines

    def lines(self):
        if self.x is None:
            return []
        lines = self._axes()
        for number, (name, points) in enumerate(self.series.items()):
            colour, places = COLOURS[number % len(COLOURS)], []
            for x, (middle, least, most) in sorted(points):
                places.append(self._place(x, middle))
                lines.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>' % (
                    *self._place(x, least), *self._place(x, most), colour))
                lines.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>' % (*places[-1], colour))
            lines.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (
                " ".join("%.1f,%.1f" % place for place in places), colour))
            y = TOP + 12 + 20 * number
            lines.append('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"/>' % (
                WIDTH - RIGHT + 10, y, WIDTH - RIGHT + 30, y, colour))
            lines.append(_text(WIDTH - RIGHT + 35, y + 4, name, "start"))
        return lines


def write(path, charts, words):
    """All charts, one below another; `words`: what they were measured on."""
    charts = [chart for chart in charts if chart.x is not None]
    below = textwrap.wrap(words, 85)
    height = HEIGHT * len(charts) + 15 * len(below) + 15
    with open(path, "w") as stream:
        stream.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
                     'font-family="sans-serif">\n<style>.grid { stroke: #ddd }</style>\n'
                     '<rect width="100%%" height="100%%" fill="white"/>\n' % (WIDTH, height, WIDTH, height))
        for number, chart in enumerate(charts):
            stream.write('<g transform="translate(0 %d)">\n%s\n</g>\n' % (HEIGHT * number, "\n".join(chart.lines())))
        for number, line in enumerate(below):
            stream.write(_text(LEFT, HEIGHT * len(charts) + 15 * (number + 1), line, "start", 10) + "\n")
        stream.write("</svg>\n")
