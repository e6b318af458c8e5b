"""Draws bookings a second over clients, a panel for each kind of storage, as SVG."""

from collections.abc import Sequence
from html import escape

from bench.figures import Figure, Point

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 110, 40, 45
COLOURS = {"pgbench": "#6b7280", "app": "#1d4ed8", "five steps": "#b91c1c"}
ROUND = (1, 2, 2.5, 4, 5, 6, 8, 10)


def svg(figures: Sequence[Figure]) -> str:
    points = [(figure.point, figure.median) for figure in figures if figure.point is not None]
    panels = list(dict.fromkeys(point.panel for point, _ in points))
    # Whoever was measured with one number of clients makes no line.
    panels = [
        panel for panel in panels if len({point.clients for point, _ in points if point.panel == panel}) > 1
    ]
    drawn = [
        _panel(index * WIDTH, panel, [(point, rate) for point, rate in points if point.panel == panel])
        for index, panel in enumerate(panels)
    ]
    size = f'viewBox="0 0 {max(1, len(panels)) * WIDTH} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>", ""))


def _panel(left: float, title: str, points: Sequence[tuple[Point, float]]) -> str:
    clients = sorted({point.clients for point, _ in points})
    top = _round_up(max(rate for _, rate in points))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(count: int) -> float:
        return left + LEFT + wide * clients.index(count) / max(1, len(clients) - 1)

    def y(rate: float) -> float:
        return TOP + high * (1 - rate / top)

    parts = [_text(left + LEFT, 20, f"Bookings a second, {title}", bold=True)]
    for step in range(5):
        rate = top * step / 4
        line = f'<line x1="{left + LEFT}" x2="{left + LEFT + wide}" y1="{y(rate):.1f}" y2="{y(rate):.1f}"'
        parts += [
            f'{line} stroke="#e5e7eb"/>',
            _text(left + LEFT - 6, y(rate) + 4, f"{rate:g}", anchor="end"),
        ]
    parts += [_text(x(count), HEIGHT - BOTTOM + 18, str(count), anchor="middle") for count in clients]
    parts.append(_text(left + LEFT + wide / 2, HEIGHT - 8, "clients or processes", anchor="middle"))
    for name in dict.fromkeys(point.line for point, _ in points):
        colour = COLOURS.get(name, "black")
        along = sorted((point.clients, rate) for point, rate in points if point.line == name)
        path = " ".join(f"{x(count):.1f},{y(rate):.1f}" for count, rate in along)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(count):.1f}" cy="{y(rate):.1f}" r="3" fill="{colour}"/>' for count, rate in along
        ]
        last, rate = along[-1]
        parts.append(_text(x(last) + 8, y(rate) + 4, name, colour=colour))
    return "\n".join(parts)


def _round_up(value: float) -> float:
    scale = 10.0 ** (len(str(int(value))) - 1)
    return next(step * scale for step in ROUND if step * scale >= value)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#111827", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}"{weight}>{escape(text)}</text>'
