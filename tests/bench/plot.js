// A line chart as SVG, with what the plots of the bench need and no more.
'use strict';

const PLOT = 520; // the width between the axes' ends
const HEIGHT = 420;
const EDGE = { left: 80, top: 40, bottom: 50 };
const LETTER = 7; // a legend's letter is no wider
const COLOURS = ['#c0392b', '#2471a3', '#7fb3d5', '#1e8449', '#7d3c98', '#b9770e'];

// Round numbers that cover up to max: from 0, or, on a logarithmic axis, from below min.
function ticks(min, max, isLog) {
  if (isLog) {
    const found = [];
    for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) found.push(power, 2 * power, 5 * power);
    found.push(2 * found.at(-1));
    return found.slice(found.findLastIndex((at) => at <= min), found.findIndex((at) => at >= max) + 1);
  }
  const rough = max / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  return Array.from({ length: Math.ceil(max / step) + 1 }, (_, i) => i * step);
}

function axis(values, isLog, from, to) {
  const marks = ticks(Math.min(...values), Math.max(...values), isLog);
  const scale = isLog ? Math.log10 : (value) => value;
  const [low, high] = [scale(marks[0]), scale(marks.at(-1))];
  return { marks, place: (value) => from + ((scale(value) - low) / (high - low)) * (to - from) };
}

const number = (value) => value.toLocaleString('en');
const text = (x, y, content, extra = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${extra}>${content}</text>`;

// series: [{name, points: [[x, y], ...]}]
function lines({ title, x, y, series, logY = false }) {
  const points = series.flatMap((one) => one.points);
  const right = EDGE.left + PLOT;
  const across = axis(points.map(([value]) => value), false, EDGE.left, right);
  const up = axis(points.map(([, value]) => value), logY, HEIGHT - EDGE.bottom, EDGE.top);
  const width = right + 45 + LETTER * Math.max(...series.map(({ name }) => name.length));
  const bottom = HEIGHT - EDGE.bottom;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    text(EDGE.left, 22, title, 'font-size="15"'),
    text((EDGE.left + right) / 2, HEIGHT - 12, x, 'text-anchor="middle"'),
    text(16, (EDGE.top + bottom) / 2, y, `text-anchor="middle" transform="rotate(-90 16 ${(EDGE.top + bottom) / 2})"`),
  ];
  for (const mark of up.marks) {
    parts.push(`<path d="M${EDGE.left} ${up.place(mark).toFixed(1)}H${right}" stroke="#ddd"/>`,
      text(EDGE.left - 6, up.place(mark) + 4, number(mark), 'text-anchor="end"'));
  }
  for (const mark of across.marks) {
    parts.push(`<path d="M${across.place(mark).toFixed(1)} ${bottom}v5" stroke="#888"/>`,
      text(across.place(mark), bottom + 18, number(mark), 'text-anchor="middle"'));
  }
  for (const [i, one] of series.entries()) {
    const colour = COLOURS[i % COLOURS.length];
    const path = one.points.map(([a, b]) => `${across.place(a).toFixed(1)} ${up.place(b).toFixed(1)}`).join('L');
    parts.push(`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      `<path d="M${right + 10} ${EDGE.top + 10 + 18 * i}h18" stroke="${colour}" stroke-width="2"/>`,
      text(right + 33, EDGE.top + 14 + 18 * i, one.name));
  }
  return `${parts.join('\n')}\n</svg>\n`;
}

module.exports = { lines };
